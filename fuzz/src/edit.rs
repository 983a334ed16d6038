//! Documents of JSON with some of their values changed.

use arbitrary::Arbitrary;
use serde_json::Value;

use crate::made::Choice;

/// What becomes of one value of a document.
#[derive(Debug, Arbitrary)]
pub(crate) enum Edit {
    Bool(bool),
    /// It is what stands elsewhere.
    Copy(u16),
    Key(String),
    List,
    Null,
    Number(i64),
    Object,
    Real(f64),
    Remove,
    Text(String),
    Twice,
    Unsigned(u64),
    Word(Choice),
}

/// Words that mean something somewhere.
const WORDS: [&str; 40] = [
    "",
    "/",
    ".",
    "..",
    "/proc",
    "/sys",
    "/dev/pts",
    "a/../b",
    "tmpfs",
    "proc",
    "bind",
    "rbind",
    "cgroup",
    "sysfs",
    "devpts",
    "mqueue",
    "ro",
    "rw",
    "nosuid",
    "rprivate",
    "tmpcopyup",
    "size=1",
    "user",
    "mount",
    "network",
    "pid",
    "time",
    "CAP_SYS_ADMIN",
    "SCMP_ACT_ERRNO",
    "RLIMIT_NOFILE",
    "kernel.shmmax",
    "1.0.2",
    "/bundle",
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/a/b",
    "creating",
    "created",
    "deleting",
    "checkpointed",
    "[]",
];

/// Returns all places of a document.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                places(field, format!("{at}/{}", escaped(key)), found);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => (),
    }
    found.push(at);
}

impl Edit {
    /// Performs it at one of the document's places.
    pub(crate) fn perform(&self, at: usize, document: &mut Value) {
        let mut all = Vec::new();
        places(document, String::new(), &mut all);
        let here = &all[at % all.len()];
        let (above, name) = here.rsplit_once('/').unwrap_or(("", ""));
        let new = match self {
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Copy(from) => {
                let from = document.pointer(&all[usize::from(*from) % all.len()]);
                from.filter(|value| value.to_string().len() < 4096).cloned().unwrap_or(Value::Null)
            }
            Self::List => Value::Array(Vec::new()),
            Self::Null => Value::Null,
            Self::Number(number) => Value::from(*number),
            Self::Object => Value::Object(serde_json::Map::new()),
            Self::Real(real) => Value::from(*real),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Unsigned(number) => Value::from(*number),
            Self::Word(word) => Value::from(word.of(&WORDS)),
            Self::Key(_) | Self::Remove | Self::Twice => {
                match document.pointer_mut(above) {
                    Some(Value::Array(items)) => self.in_list(items, name),
                    Some(Value::Object(fields)) => self.in_object(fields, name),
                    Some(_) | None => (),
                }
                return;
            }
        };
        if let Some(value) = document.pointer_mut(here) {
            *value = new;
        }
    }

    fn in_list(&self, items: &mut Vec<Value>, name: &str) {
        let Ok(at) = name.parse::<usize>() else { return };
        match self {
            Self::Twice if items.len() < 64 => items.push(items[at].clone()),
            Self::Remove => drop(items.remove(at)),
            _ => (),
        }
    }

    fn in_object(&self, fields: &mut serde_json::Map<String, Value>, name: &str) {
        let name = name.replace("~1", "/").replace("~0", "~");
        match self {
            Self::Remove => drop(fields.remove(&name)),
            Self::Key(key) => {
                let value = fields.get(&name).cloned();
                fields.insert(key.clone(), value.unwrap_or(Value::Null));
            }
            _ => (),
        }
    }
}
