//! A JSON document as a tree that borrows from its text, and how readers walk it.
//!
//! A reader holds plain references to nodes. Where a node stands is searched for only once there
//! is something to say about it, so a document without faults pays nothing for its pointers.
//!
//! **Invariant:** a property whose value is `null` is a property that is not there.
//!
//! **Invariant:** no text with a NUL byte leaves this module: every one of them may become a C
//! string.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::ptr;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::spec::{Invalid, Oddity, Read, Reason, Warning};

/// A value of a document.
#[derive(Debug)]
pub(super) enum Node<'d> {
    Bool(bool),
    /// A number that is no integer of 64 bits.
    Float,
    Integer(i128),
    List(Vec<Self>),
    Null,
    Object(Vec<(Cow<'d, str>, Self)>),
    Text(Cow<'d, str>),
}

/// What is wrong, at a node or at a property that it lacks.
#[derive(Debug)]
pub(super) struct Fault<'d> {
    node: &'d Node<'d>,
    lacks: Option<&'static str>,
    why: Reason,
}

/// What is odd, and where.
#[derive(Debug, Default)]
pub(super) struct Notes<'d>(Vec<(&'d Node<'d>, Oddity)>);

impl<'d> Notes<'d> {
    /// Takes down that something about a node is odd.
    pub(super) fn add(&mut self, node: &'d Node<'d>, what: Oddity) {
        self.0.push((node, what));
    }
}

/// Reads a whole document.
pub(super) fn document<T>(
    json: &[u8],
    read: impl for<'d> FnOnce(&mut Notes<'d>, &'d Node<'d>) -> Result<T, Fault<'d>>,
) -> Result<Read<T>, Invalid> {
    let root: Node<'_> = serde_json::from_slice(json).map_err(|error| Invalid {
        pointer: String::new(),
        why: Reason::Syntax(error.to_string()),
    })?;
    let mut notes = Notes::default();
    let value = read(&mut notes, &root).map_err(|fault| fault.placed(&root))?;
    let placed = |(node, what)| Warning { pointer: root.pointer(node), what };
    Ok(Read { value, warnings: notes.0.into_iter().map(placed).collect() })
}

impl Fault<'_> {
    fn placed(self, root: &Node<'_>) -> Invalid {
        let mut pointer = root.pointer(self.node);
        if let Some(property) = self.lacks {
            step(&mut pointer, property);
        }
        Invalid { pointer, why: self.why }
    }
}

impl<'d> Node<'d> {
    /// The properties that are there, none of them twice.
    pub(super) fn fields(&'d self) -> Result<impl Iterator<Item = (&'d str, &'d Self)>, Fault<'d>> {
        let Self::Object(fields) = self else {
            return Err(self.fault(Reason::Type { expected: "an object" }));
        };
        let mut seen = BTreeSet::new();
        match fields.iter().find(|(key, _)| !seen.insert(key)) {
            Some((_, again)) => Err(again.fault(Reason::Duplicate)),
            None => Ok(fields
                .iter()
                .filter(|(_, value)| !matches!(value, Self::Null))
                .map(|(key, value)| (&**key, value))),
        }
    }

    /// The items of a list, each read.
    pub(super) fn list<T>(
        &'d self,
        read: impl FnMut(&'d Self) -> Result<T, Fault<'d>>,
    ) -> Result<Vec<T>, Fault<'d>> {
        self.items()?.iter().map(read).collect()
    }

    /// The items of a list.
    pub(super) fn items(&'d self) -> Result<&'d [Self], Fault<'d>> {
        match self {
            Self::List(items) => Ok(items),
            _ => Err(self.fault(Reason::Type { expected: "a list" })),
        }
    }

    /// A truth value.
    pub(super) fn bool(&'d self) -> Result<bool, Fault<'d>> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => Err(self.fault(Reason::Type { expected: "true or false" })),
        }
    }

    /// A text.
    pub(super) fn text(&'d self) -> Result<&'d str, Fault<'d>> {
        match self {
            Self::Text(text) if text.contains('\0') => Err(self.fault(Reason::Nul)),
            Self::Text(text) => Ok(text),
            _ => Err(self.fault(Reason::Type { expected: "a string" })),
        }
    }

    /// A text of one's own.
    pub(super) fn string(&'d self) -> Result<String, Fault<'d>> {
        self.text().map(str::to_owned)
    }

    /// A text; the empty one is none.
    pub(super) fn some_text(&'d self) -> Result<Option<String>, Fault<'d>> {
        Ok(Some(self.string()?).filter(|text| !text.is_empty()))
    }

    /// An absolute path.
    pub(super) fn absolute(&'d self) -> Result<String, Fault<'d>> {
        match self.text()? {
            "" => Err(self.fault(Reason::Empty)),
            path if path.starts_with('/') => Ok(path.to_owned()),
            _ => Err(self.fault(Reason::Relative)),
        }
    }

    /// An integer within the range.
    pub(super) fn integer<T>(&'d self, range: RangeInclusive<T>) -> Result<T, Fault<'d>>
    where
        T: Copy + PartialOrd + Into<i128> + TryFrom<i128>,
    {
        let value = match self {
            Self::Integer(value) => T::try_from(*value).ok(),
            _ => None,
        };
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            let (least, most) = (*range.start(), *range.end());
            self.fault(Reason::Range { least: least.into(), most: most.into() })
        })
    }

    /// What the word stands for in the table; `what` names the kind of word.
    pub(super) fn word<T: Copy>(
        &'d self,
        what: &'static str,
        table: &[(&str, T)],
    ) -> Result<T, Fault<'d>> {
        let word = self.text()?;
        match table.iter().find(|(known, _)| *known == word) {
            Some((_, meaning)) => Ok(*meaning),
            None => Err(self.fault(Reason::Unknown { what, word: word.to_owned() })),
        }
    }

    /// Refuses a property that the runtime does not support, unless it asks for nothing.
    pub(super) fn unsupported(&'d self) -> Result<(), Fault<'d>> {
        if self.is_nothing() { Ok(()) } else { Err(self.fault(Reason::Unsupported)) }
    }

    /// Refuses an unsupported property of which even an empty object within asks for something.
    pub(super) fn unsupported_map(&'d self) -> Result<(), Fault<'d>> {
        match self.fields()?.next() {
            Some((_, value)) => Err(value.fault(Reason::Unsupported)),
            None => Ok(()),
        }
    }

    /// Whether the value is one that programs write to ask for nothing.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::Float => false,
            Self::Integer(value) => *value == 0,
            Self::List(items) => items.is_empty(),
            Self::Null => true,
            Self::Object(fields) => fields.iter().all(|(_, value)| value.is_nothing()),
            Self::Text(text) => text.is_empty(),
        }
    }

    /// Says what is wrong with this node.
    pub(super) fn fault(&'d self, why: Reason) -> Fault<'d> {
        Fault { node: self, lacks: None, why }
    }

    /// Says that this object lacks a property.
    pub(super) fn lacks(&'d self, property: &'static str) -> Fault<'d> {
        Fault { node: self, lacks: Some(property), why: Reason::Missing }
    }

    /// The pointer to a node below this one.
    fn pointer(&self, sought: &Self) -> String {
        let mut pointer = String::new();
        let found = self.find(sought, &mut pointer);
        assert!(found, "what is spoken of stands in the document");
        pointer
    }

    /// Adds the way to a node, or nothing if it is not below this one.
    fn find(&self, sought: &Self, pointer: &mut String) -> bool {
        if ptr::eq(self, sought) {
            return true;
        }
        let way = pointer.len();
        let mut below = |name: &str, node: &Self| {
            step(pointer, name);
            let found = node.find(sought, pointer);
            if !found {
                pointer.truncate(way);
            }
            found
        };
        match self {
            Self::List(items) => {
                (0..).zip(items).any(|(i, node): (usize, _)| below(&i.to_string(), node))
            }
            Self::Object(fields) => fields.iter().any(|(name, node)| below(name, node)),
            Self::Bool(_) | Self::Float | Self::Integer(_) | Self::Null | Self::Text(_) => false,
        }
    }
}

/// Adds a step to a pointer, escaped as RFC 6901 asks.
pub(super) fn step(pointer: &mut String, name: &str) {
    pointer.push('/');
    for character in name.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

impl<'d> Deserialize<'d> for Node<'d> {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

/// Makes nodes of what the parser meets.
struct Nodes;

impl<'d> Visitor<'d> for Nodes {
    type Value = Node<'d>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'d>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'d>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'d>, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'d>, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'d>, E> {
        Ok(Node::Float)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'d>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'d str) -> Result<Node<'d>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<Node<'d>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Node<'d>, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            let Node::Text(key) = key else {
                return Err(A::Error::custom("a key that is no string"));
            };
            fields.push((key, value));
        }
        Ok(Node::Object(fields))
    }
}
