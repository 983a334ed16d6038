//! Processes by identity: a number alone names nobody.
//!
//! A pid is trusted only behind an open pidfd: the descriptor is opened first, then start time and
//! boot are compared with the record's. From then on the descriptor is the process.
//!
//! **Invariant:** no signal is sent through anything but a descriptor so verified.

use crate::state::{Liveness, ProcessId};
use crate::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};

/// Returns a number that tells this boot from every other.
///
/// # Errors
///
/// Fails where `/proc` does not say.
pub(super) fn boot<K: Kernel>(kernel: &K) -> Result<u64, Failure> {
    let path = c"/proc/sys/kernel/random/boot_id";
    let text = read_file(kernel, path).doing(|| "read the boot id")?;
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).take(16);
    let value = digits.fold(0_u64, |value, digit| {
        value << 4 | u64::from(char::from(digit).to_digit(16).unwrap_or(0))
    });
    Ok(value)
}

/// Returns the identity of the living process of that number.
///
/// # Errors
///
/// Fails where `/proc` does not say.
pub(super) fn identify<K: Kernel>(kernel: &K, pid: u32, boot: u64) -> Result<ProcessId, Failure> {
    let stat = stat(kernel, pid).doing(|| format_args!("read /proc/{pid}/stat").to_string())?;
    Ok(ProcessId { pid, started: stat.started, boot })
}

/// Opens the process that has a record's number; nothing where nobody has it.
///
/// Whether it is the one that the record names, [`liveness`] tells.
///
/// # Errors
///
/// Fails where the kernel will not say (EPERM).
pub(super) fn open<K: Kernel>(
    kernel: &K,
    id: ProcessId,
    boot: u64,
) -> Result<Option<Fd<'_, K>>, Failure> {
    if id.boot != boot {
        return Ok(None);
    }
    match kernel.give(Call::PidfdOpen { pid: id.pid, flags: 0 }) {
        Ok(pidfd) => Ok(Some(pidfd)),
        // EINVAL: the number is now a thread's of somebody else; see pidfd_open(2).
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(Failure::new(format!("open process {}", id.pid), errno)),
    }
}

/// Returns what has become of the process that a record names, while its number is open.
///
/// Who exits lets go of its descriptors before it is a zombie: what it holds is asked first, so
/// that who lives here held it then.
///
/// # Errors
///
/// Fails where the kernel will not say (hidepid): no status is guessed.
pub(super) fn liveness<K: Kernel>(kernel: &K, id: ProcessId) -> Result<Liveness, Failure> {
    match stat(kernel, id.pid) {
        Ok(stat) if stat.started != id.started => Ok(Liveness::Stranger),
        Ok(stat) if stat.is_over() => Ok(Liveness::Zombie),
        Ok(_) => Ok(Liveness::Alive),
        // Reaped since it was opened.
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(Liveness::Gone),
        Err(errno) => Err(Failure::new(format!("read /proc/{}/stat", id.pid), errno)),
    }
}

/// The flag of a process that exits or has exited (proc_pid_stat(5), include/linux/sched.h).
const PF_EXITING: u64 = 4;

/// Three fields of `/proc/PID/stat`.
struct Stat {
    state: u8,
    flags: u64,
    started: u64,
}

impl Stat {
    /// Whether it exits or has exited: it executes nothing of its own any more.
    const fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X') || self.flags & PF_EXITING != 0
    }
}

fn stat<K: Kernel>(kernel: &K, pid: u32) -> Result<Stat, Errno> {
    let path = K::name(format!("/proc/{pid}/stat"))?;
    let text = read_file(kernel, &path)?;
    // The second field is a name in parentheses that may hold anything, so count from its end.
    let mut fields = text.rsplit_once(')').ok_or(Errno::EPROTO)?.1.split_ascii_whitespace();
    let state = fields.next().and_then(|word| word.bytes().next()).ok_or(Errno::EPROTO)?;
    let mut number = |skipped| fields.nth(skipped).and_then(|word| word.parse().ok());
    let flags = number(5).ok_or(Errno::EPROTO)?;
    let started = number(12).ok_or(Errno::EPROTO)?;
    Ok(Stat { state, flags, started })
}

/// Reads a small file of the kernel's in one read.
pub(super) fn read_file<K: Kernel>(kernel: &K, path: &core::ffi::CStr) -> Result<String, Errno> {
    let file = kernel.open(CWD, path, flags::O_RDONLY)?;
    let mut block = [0; 4096];
    let text = loop {
        match kernel.read(file.raw(), &mut block) {
            Ok(text) => break text,
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
        }
    };
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::sys::Live;

    /// Answers every read with one text.
    struct Says(&'static str, RefCell<u32>);

    impl Kernel for Says {
        fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
            match call {
                Call::Read { buf, .. } => {
                    buf.iter().zip(self.0.bytes()).for_each(|(cell, byte)| cell.set(byte));
                    Ok(u64::try_from(self.0.len()).unwrap_or(0))
                }
                _ => Ok(u64::from(self.1.replace_with(|n| *n + 1))),
            }
        }
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0";
        let stat = stat(&Says(text, RefCell::new(3)), 7).unwrap();
        assert_eq!((stat.state, stat.flags, stat.started), (b'S', 4_194_560, 4242));
    }

    #[test]
    fn a_boot_is_told_by_the_first_half_of_its_id() {
        let text = "01234567-89ab-cdef-0000-000000000001\n";
        let boot = boot(&Says(text, RefCell::new(3))).unwrap();
        assert_eq!(boot, 0x0123_4567_89ab_cdef);
    }
}
