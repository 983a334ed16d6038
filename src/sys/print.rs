//! Prints a program, one operation a line.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::calls::Call;
use super::flags;
use super::form::{Compiled, Handle, Operand};
use super::op::{Act, OnError, Op, Slot};
use super::program::Program;

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut about = self.about.iter().peekable();
        for (i, op) in (0u16..).zip(&self.ops) {
            while let Some((_, text)) = about.next_if(|(from, _)| *from <= i) {
                writeln!(f, "    # {text}")?;
            }
            writeln!(f, "{i:3}  {}", self.line(i, op))?;
        }
        Ok(())
    }
}

impl Program {
    /// Returns one operation as a line of text.
    #[must_use]
    pub fn describe(&self, op: u16) -> String {
        self.ops.get(usize::from(op)).map_or_else(String::new, |o| self.line(op, o))
    }

    fn line(&self, at: u16, op: &Op) -> String {
        let mut line = match op.save {
            Slot::NONE => String::new(),
            Slot(slot) => format!("s{slot} = "),
        };
        line += &match op.act {
            Act::Abort { errno } => format!("abort {errno:?}"),
            Act::Call(call) => self.show(&call),
            Act::Check => "check that it ended well".to_string(),
            Act::Copy { from, to } => format!("copy({}, {})", handle(from), handle(to)),
            Act::End => "end".to_string(),
            Act::Fork { flags, ops } => {
                format!("fork({}) else {}", named("clone", flags), target(at, ops))
            }
            Act::Jump { ops } => format!("jump {}", target(at, ops)),
            Act::Reach { dir, path, mode, barred } => {
                let path = self.operand("reach", "path", Operand::Text(path));
                let barred = match barred {
                    0 => String::new(),
                    flags::PROC_SUPER_MAGIC => ", no link to proc".to_string(),
                    other => format!(", no link to {other:#x}"),
                };
                format!("reach({}, {path}, {mode:#o}{barred})", handle(dir))
            }
            Act::Tell { fd, slot } => format!("tell({}, s{})", handle(fd), slot.0),
        };
        match op.on_error {
            OnError::Accept(set) => line += &format!("  accept {}", names(set.iter())),
            OnError::Fail => (),
            OnError::Split { near, near_ops, far, far_ops } => {
                line += &format!("  {} skips to {}", names(near.iter()), target(at, near_ops));
                line += &format!(", {} to {}", names(far.iter()), target(at, far_ops));
            }
            OnError::Skip { on, ops } => {
                line += &format!("  {} skips to {}", names(on.iter()), target(at, ops));
            }
        }
        line
    }

    fn show(&self, call: &Call<Compiled>) -> String {
        let name = call.row().name;
        let mut operands = Vec::new();
        call.operands(&mut |field, operand| operands.push(self.operand(name, field, operand)));
        format!("{name}({})", operands.join(", "))
    }

    fn operand(&self, call: &str, field: &str, operand: Operand) -> String {
        match operand {
            Operand::Fd(fd) => handle(fd),
            Operand::In(span) => {
                let bytes = self.run(span.at, span.len);
                match core::str::from_utf8(bytes) {
                    Ok(text) if text.bytes().all(|b| (b' '..0x7f).contains(&b)) => {
                        format!("{text:?}")
                    }
                    Ok(_) | Err(_) => format!("#{}b", span.len),
                }
            }
            Operand::List(list) => {
                let texts = String::from_utf8_lossy(self.run(list.span.at, list.span.len));
                let texts: Vec<_> = texts.split_terminator('\0').collect();
                format!("{texts:?}")
            }
            Operand::Number(number) => match field {
                "mode" | "mask" => format!("{number:#o}"),
                "set" | "clear" | "propagation" | "resolve" => named(field, number),
                "flags" | "kinds" | "option" | "request" => named(call, number),
                _ => number.to_string(),
            },
            Operand::Out(room) => format!("{}b", room.len),
            Operand::Text(text) => {
                let rest = self.bytes.get(text.at as usize..).unwrap_or_default();
                let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
                format!("{:?}", String::from_utf8_lossy(rest.get(..end).unwrap_or_default()))
            }
        }
    }

    pub(super) fn run(&self, at: u32, len: u32) -> &[u8] {
        let at = at as usize;
        self.bytes.get(at..at.saturating_add(len as usize)).unwrap_or_default()
    }
}

fn target(at: u16, ops: u16) -> u16 {
    at.saturating_add(ops).saturating_add(1)
}

fn handle(fd: Handle) -> String {
    match (fd, fd.as_slot()) {
        (_, Some(slot)) => format!("s{slot}"),
        (Handle::CWD, None) => "cwd".to_string(),
        (Handle::NONE, None) => "none".to_string(),
        (fd, None) => fd.0.to_string(),
    }
}

fn names(errnos: impl Iterator<Item = super::Errno>) -> String {
    errnos.map(|errno| format!("{errno:?}")).collect::<Vec<_>>().join("|")
}

/// Spells a number that has a name of its own, prefix and all.
fn one(number: u64, prefixes: &[&str]) -> String {
    let is_it = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let found = flags::ALL.iter().find(|(name, value)| *value == number && is_it(name));
    found.map_or_else(|| number.to_string(), |(name, _)| (*name).to_string())
}

/// Spells a set of flags by the names that the call's man page gives them.
fn named(call: &str, set: u64) -> String {
    let prefixes: &[&str] = match call {
        "clone" | "unshare" | "setns" => &["CLONE_"],
        "mount" => &["MS_"],
        "mount_setattr" | "faccessat2" | "fchownat" | "statx" | "unlinkat" => &["AT_"],
        "set" | "clear" => &["MOUNT_ATTR_"],
        "propagation" => &["MS_"],
        "dup3" => &["O_"],
        "ioctl" => return one(set, &["TIOC", "SIOC"]),
        "move_mount" => &["MOVE_MOUNT_"],
        "prctl" => return one(set, &["PR_"]),
        "open_tree" => &["OPEN_TREE_", "AT_"],
        "openat2" => &["O_"],
        "resolve" => &["RESOLVE_"],
        "umount2" => &["MNT_", "UMOUNT_"],
        "close_range" => &["CLOSE_RANGE_"],
        _ => &[],
    };
    let mut left = set;
    let mut found = Vec::new();
    for (name, value) in flags::ALL {
        let short = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(short) = short
            && *value != 0
            && left & *value == *value
        {
            left &= !*value;
            found.push(short.to_string());
        }
    }
    if left != 0 || found.is_empty() {
        found.push(if left == 0 { "0".to_string() } else { format!("{left:#x}") });
    }
    found.join("|")
}
