//! The standard streams of a process that is not root.
//!
//! A pipe that the caller made is the caller's; a process of another user could write to it, but
//! not open it again as `/dev/stdout`. So it becomes that user's.
//!
//! **Invariant:** a device is never given away: the caller's `/dev/null` is everybody's.

use crate::spec::IdMap;
use crate::sys::{Call, Errno, Kernel, RawFd, Syscalls, flags};

use super::error::{Doing, Failure};
use super::request::Stdio;

/// Returns the number that a user of the container has outside of it.
pub(super) fn outside(uid: u32, maps: &[IdMap]) -> Option<u32> {
    if maps.is_empty() {
        return Some(uid);
    }
    let holds = |map: &&IdMap| uid.checked_sub(map.inside).is_some_and(|rest| rest < map.count);
    let map = maps.iter().find(holds)?;
    map.outside.checked_add(uid - map.inside)
}

/// Gives the streams to a user, if they are pipes, sockets or files.
///
/// # Errors
///
/// Those of fchownat(2), save where the file system keeps no owners or the caller may not.
pub(super) fn give<K: Kernel>(
    kernel: &K,
    stdio: &[Stdio; 3],
    uid: Option<u32>,
) -> Result<(), Failure> {
    let Some(uid) = uid.filter(|uid| *uid != 0) else { return Ok(()) };
    for (stream, stdio) in (0..).zip(stdio) {
        let fd: RawFd = match stdio {
            Stdio::Fd(fd) => *fd,
            Stdio::Inherit => stream,
        };
        let Ok(stat) = kernel.stat(fd, c"", flags::AT_EMPTY_PATH) else { continue };
        let ours = [flags::S_IFIFO, flags::S_IFSOCK, flags::S_IFREG];
        if stat.uid == uid || !ours.contains(&(stat.mode & flags::S_IFMT)) {
            continue;
        }
        let (gid, flags) = (u32::MAX, flags::AT_EMPTY_PATH);
        match kernel.call(Call::Fchownat { dir: fd, path: c"", uid, gid, flags }) {
            Ok(_) | Err(Errno::EPERM | Errno::EROFS | Errno::EINVAL) => (),
            Err(errno) => {
                return Err(errno).doing(|| format!("give stream {stream} to user {uid}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_other_numbers_outside() {
        let maps = [IdMap { inside: 0, outside: 100_000, count: 1000 }];
        assert_eq!(outside(7, &[]), Some(7));
        assert_eq!(outside(7, &maps), Some(100_007));
        assert_eq!(outside(1000, &maps), None);
    }
}
