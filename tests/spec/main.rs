//! `config.json` as it is read: what real ones become, and why others are refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accepted;
mod properties;
mod refused;

use cofferdam::spec::{Invalid, Spec, oci};
use serde_json::Value;

const CRUN: &str = include_str!("crun.json");
const DOCKER: &str = include_str!("docker.json");
/// Every property that is supported, each asking for something.
const FULL: &str = include_str!("full.json");
const PODMAN: &str = include_str!("podman.json");
const RUNC: &str = include_str!("runc.json");
const RUNC_ROOTLESS: &str = include_str!("runc-rootless.json");

fn full() -> Value {
    serde_json::from_str(FULL).unwrap()
}

/// Reads, and puts the warnings into lines.
fn read(json: &str) -> Result<(Spec, String), Invalid> {
    let read = oci::read(json.as_bytes())?;
    let warnings: Vec<_> = read.warnings.iter().map(ToString::to_string).collect();
    Ok((read.value, warnings.join("\n")))
}

fn refusal(json: &str) -> String {
    read(json).unwrap_err().to_string()
}

/// The full document with the value put at the pointer, whose parent must be there.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = full();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.insert(name, value)),
        Value::Array(items) if items.len().to_string() == name => items.push(value),
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        other => panic!("{pointer} is below {other}"),
    }
    document
}

/// The full document less what stands at the pointer.
fn without(pointer: &str) -> Value {
    let mut document = full();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&name).unwrap();
    document
}

/// Every pointer into a document but the one to the whole.
fn pointers(document: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let step = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let mut all: Vec<_> = pointers(value).iter().map(|rest| format!("{step}{rest}")).collect();
        all.push(step);
        all
    };
    match document {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, value)| below(&i.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}
