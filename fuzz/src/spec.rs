//! A `config.json` is compiled into sound programs, or refused by a pointer into it.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use cofferdam::backend::fake::Cgroups;
use cofferdam::plan::{
    self, CgroupDir, Feature, Filter, Hierarchy, Host, Joined, Leaving, Situation, Source, Start,
    Stream, Terminal, Version,
};
use cofferdam::spec::oci::{self, Example, Owner};
use cofferdam::spec::{Invalid, MountKind, NamespaceKind, Process, Read, Spec};
use cofferdam::sys::lint;
use serde_json::Value;

use crate::edit::Edit;
use crate::made::{Choice, Kernel, whole};

/// A document that has everything.
const FULL: &str = include_str!("../../tests/spec/full.json");

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    around: Around,
    document: Document<'a>,
}

/// What a program depends on beside its description.
#[derive(Debug, Arbitrary)]
struct Around {
    kernel: Kernel,
    missing: [bool; 3],
    moved: bool,
    gated: bool,
    terminal: Choice,
    streams: [bool; 3],
    user: Choice,
    preserve_fds: u8,
    filtered: bool,
    /// Namespaces that a further process joins, by their bits.
    joined: u8,
}

#[derive(Debug, Arbitrary)]
enum Document<'a> {
    Edited { base: Choice, edits: Vec<(u16, Edit)> },
    Text(&'a [u8]),
}

/// Performs a case.
pub fn spec(data: &[u8]) {
    let Some(case) = whole::<Case<'_>>(data) else { return };
    let (text, document) = match &case.document {
        Document::Text(text) => (text.to_vec(), serde_json::from_slice(text).ok()),
        Document::Edited { base, edits } => {
            let document = edited(*base, edits);
            (document.to_string().into_bytes(), Some(document))
        }
    };
    let document = document.as_ref();
    if let Some(spec) = read(oci::read(&text), document) {
        same_again(&spec);
        case.around.compile(&spec, document);
    }
    if let Some(process) = read(oci::read_process(&text), document) {
        case.around.join(&process);
    }
    read(oci::read_resources(&text), document);
}

fn edited(base: Choice, edits: &[(u16, Edit)]) -> Value {
    let rootless = Some(Owner { uid: 1000, gid: 1000 });
    let text = match base.of(&[0, 1, 2, 3]) {
        0 => FULL.to_owned(),
        1 => oci::example(Example { rootless, unified_cgroups: true }),
        2 => oci::example(Example::default()),
        _ => r#"{"ociVersion":"1.0.2","root":{"path":"r"},"process":{"cwd":"/","args":["a"],
            "user":{"uid":0,"gid":0}},"linux":{"namespaces":[{"type":"mount"}]}}"#
            .to_owned(),
    };
    let mut document: Value = serde_json::from_str(&text).expect("a base is JSON");
    for (at, edit) in edits.iter().take(16) {
        edit.perform(usize::from(*at), &mut document);
    }
    document
}

/// Demands that whatever is said is said of a place of the document.
fn read<T>(read: Result<Read<T>, Invalid>, document: Option<&Value>) -> Option<T> {
    match (read, document) {
        (Ok(read), Some(document)) => {
            for warning in &read.warnings {
                assert!(document.pointer(&warning.pointer).is_some(), "{warning}");
            }
            Some(read.value)
        }
        (Err(invalid), Some(document)) => {
            leads_somewhere(&invalid, document);
            None
        }
        (Ok(read), None) => Some(read.value),
        (Err(_), None) => None,
    }
}

/// Demands that a refusal points to something in the document, or to where it is missing.
fn leads_somewhere(invalid: &Invalid, document: &Value) {
    let parent = invalid.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    let found = document.pointer(&invalid.pointer).is_some()
        || document.pointer(parent).is_some_and(Value::is_object);
    assert!(found, "{invalid} ({:?}) leads nowhere in {document}", invalid.pointer);
}

/// What was read survives being written down.
fn same_again(spec: &Spec) {
    let text = serde_json::to_vec(spec).expect("a description is data");
    let again: Spec = serde_json::from_slice(&text).expect("it was written here");
    assert_eq!(&again, spec);
}

/// A filter that allows everything: `return SECCOMP_RET_ALLOW`.
const ALLOW: &[u8] = &[6, 0, 0, 0, 0, 0, 0xff, 0x7f];

impl Around {
    fn compile(&self, spec: &Spec, document: Option<&Value>) {
        self.with(spec, |situation| match plan::init(spec, situation) {
            Ok(plan) => {
                assert_eq!(lint(&plan.program), [], "{}", plan.program);
                for hook in &spec.hooks.prestart {
                    if let Ok(plan) = plan::hook(hook, situation.host, "/bundle", &[]) {
                        assert_eq!(lint(&plan.program), [], "{}", plan.program);
                    }
                }
            }
            Err(invalid) => {
                assert!(invalid.pointer.starts_with('/'), "{invalid}");
                if let Some(document) = document {
                    leads_somewhere(&invalid, document);
                }
            }
        });
        if let Some(process) = &spec.process {
            self.join(process);
        }
    }

    fn join(&self, process: &Process) {
        use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};
        let kinds = [Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts];
        let chosen = kinds.into_iter().enumerate().filter(|(bit, _)| self.joined >> bit & 1 != 0);
        let joined = Joined { namespaces: chosen.map(|(_, kind)| kind).collect() };
        self.with(&Spec::default(), |situation| {
            if let Ok(plan) = plan::exec(process, &joined, situation) {
                assert_eq!(lint(&plan.program), [], "{}", plan.program);
            }
        });
    }

    fn with(&self, spec: &Spec, then: impl FnOnce(&Situation<'_>)) {
        let host = self.host();
        let place =
            |one: &Hierarchy| CgroupDir { mount: one.mount.clone(), path: "/box".to_owned() };
        let cgroups: Vec<_> = host.hierarchies.iter().map(place).collect();
        let sources: BTreeMap<_, _> = spec
            .mounts
            .iter()
            .filter(|mount| matches!(mount.kind, MountKind::Bind { .. }))
            .filter_map(|mount| mount.source.clone())
            .map(|source| {
                let file = source.len() % 2 == 0;
                (source, if file { Source::File } else { Source::Directory })
            })
            .collect();
        let all = [Stream::Stdin, Stream::Stdout, Stream::Stderr];
        let replaced = all.into_iter().zip(self.streams).filter(|(_, replaced)| *replaced);
        let streams: BTreeSet<_> = replaced.map(|(stream, _)| stream).collect();
        then(&Situation {
            host: &host,
            bundle: "/bundle",
            cgroups: &cgroups,
            rootfs_mount: if self.moved { "/bundle" } else { "/" },
            filter: self.filtered.then_some(Filter { code: ALLOW, flags: 0 }),
            sources: &sources,
            leaving: if self.moved { Leaving::Move } else { Leaving::Pivot },
            terminal: self.terminal.of(&[Terminal::None, Terminal::Console, Terminal::Relay]),
            start: if self.gated { Start::AtTheGate } else { Start::AtOnce },
            streams: &streams,
            preserve_fds: self.preserve_fds.into(),
            home: Some("/root"),
        });
    }

    fn host(&self) -> Host {
        let one = |mount: &str, controllers: &[&str], version| Hierarchy {
            mount: mount.to_owned(),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            version,
            own: "/".to_owned(),
            root: "/".to_owned(),
            options: String::new(),
        };
        let v1 = || {
            let all = ["cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids"];
            all.map(|name| one(&format!("/sys/fs/cgroup/{name}"), &[name], Version::V1)).to_vec()
        };
        let hierarchies = match self.kernel.profile().cgroups {
            Cgroups::V2 => vec![one("/sys/fs/cgroup", &[], Version::V2)],
            Cgroups::V1 => v1(),
            Cgroups::Hybrid => {
                [v1(), vec![one("/sys/fs/cgroup/unified", &[], Version::V2)]].concat()
            }
        };
        let features = [Feature::CloseRange, Feature::MountSetattr, Feature::TimeNamespace];
        let missing = features.into_iter().zip(self.missing).filter(|(_, missing)| *missing);
        Host {
            bounding: (1 << 41) - 1,
            ignored_signals: 1 << 12,
            memory_nodes: "0".to_owned(),
            hierarchies,
            user: self.user.of(&[0, 1000]),
            user_namespace: self.user.of(&[false, false, true]),
            missing: missing.map(|(feature, _)| feature).collect(),
        }
    }
}
