//! What holds of every document.

use cofferdam::spec::{Invalid, Reason, oci};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::{DOCKER, FULL, PODMAN, full, pointers, read, with, without};

/// Whether the pointer leads to something in the document, or to where it is missing.
fn leads_somewhere(document: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    document.pointer(pointer).is_some() || document.pointer(parent).is_some_and(Value::is_object)
}

/// Reads, and demands that whatever is said is said of a place of the document.
fn check(document: &Value) -> Result<(), TestCaseError> {
    match oci::read(document.to_string().as_bytes()) {
        Ok(read) => {
            for warning in read.warnings {
                prop_assert!(document.pointer(&warning.pointer).is_some(), "{warning}");
            }
        }
        Err(invalid) => {
            prop_assert!(leads_somewhere(document, &invalid.pointer), "{invalid}");
        }
    }
    Ok(())
}

#[test]
fn a_value_of_another_type_is_refused_where_it_stands() {
    for pointer in pointers(&full()) {
        let refused = read(&with(&pointer, json!(0.5)).to_string()).unwrap_err();
        assert_eq!(refused.pointer, pointer, "{refused}");
    }
}

#[test]
fn a_property_left_out_is_missed_beside_where_it_stood_or_not_at_all() {
    let document = full();
    for pointer in pointers(&document) {
        let parent = pointer.rsplit_once('/').unwrap().0;
        if !document.pointer(parent).unwrap().is_object() {
            continue;
        }
        match read(&without(&pointer).to_string()) {
            Ok(_) => (),
            Err(Invalid { why: Reason::Missing, pointer: place }) => {
                assert_eq!(place.rsplit_once('/').unwrap().0, parent, "without {pointer}");
            }
            Err(Invalid { why: Reason::Conflict(_), .. }) => {
                assert!(pointer.starts_with("/linux"), "{pointer}");
            }
            Err(Invalid { why: Reason::Malformed(_), .. }) => {
                assert!(pointer.starts_with("/process/capabilities/"), "{pointer}");
            }
            Err(other) => panic!("without {pointer}: {other}"),
        }
    }
}

#[test]
fn a_document_cut_short_is_no_json() {
    for end in 0..FULL.trim_end().len() {
        let refused = oci::read(&FULL.as_bytes()[..end]).unwrap_err();
        assert!(matches!(refused.why, Reason::Syntax(_)), "{end}: {refused}");
    }
}

/// Values that are likely to go wrong somewhere, and lists and objects of them.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-2..3i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["", "/", "/proc", "..", "a/b", "user", "a=b", "\0", "bind", "CAP_KILL"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let keys = select(vec!["type", "path", "source", "options", "limit", "~/", "x"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4).prop_map(|fields| {
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_changed_the_place_of_the_fault_is_found(
        base in select(vec![DOCKER, FULL, PODMAN]),
        changes in prop::collection::vec((any::<Index>(), values()), 1..4),
    ) {
        let mut document: Value = serde_json::from_str(base).unwrap();
        for (at, value) in changes {
            let all = pointers(&document);
            if all.is_empty() {
                break;
            }
            *document.pointer_mut(at.get::<String>(&all)).unwrap() = value;
            check(&document)?;
        }
    }

    #[test]
    fn a_property_is_moved_and_the_place_of_the_fault_is_found(
        from in any::<Index>(),
        to in any::<Index>(),
    ) {
        let mut document = full();
        let all = pointers(&document);
        let value = document.pointer(from.get::<String>(&all)).unwrap().clone();
        *document.pointer_mut(to.get::<String>(&all)).unwrap() = value;
        check(&document)?;
    }

    #[test]
    fn bytes_that_are_no_document_do_no_harm(bytes in any::<Vec<u8>>()) {
        prop_assert!(oci::read(&bytes).is_err());
    }
}
