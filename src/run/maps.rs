//! The id maps of a new user namespace, written by the maker or by tools that may do more.
//!
//! | maker | map | written by |
//! |---|---|---|
//! | root | any | the maker |
//! | a user | one id, its own | the maker; setgroups(2) is given up |
//! | a user | what subuid(5) and subgid(5) grant | newuidmap(1), newgidmap(1) |

use crate::spec::{Hook, IdMap};
use crate::sys::{CWD, Call, Errno, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};
use super::operation::Operation;
use super::{cgroup, hooks};

/// Where the tools are looked for if nobody says.
const PATH: &str = "/usr/bin";

/// Writes both maps of a process.
///
/// # Errors
///
/// `EPERM` where a user has not been granted the ids.
pub(super) fn write<K: Kernel>(
    op: &Operation<'_, '_, K>,
    pid: u32,
    [uids, gids]: [&[IdMap]; 2],
) -> Result<(), Failure> {
    let user = op.runtime.host()?.user != 0;
    if user && matches!(gids, [IdMap { count: 1, .. }]) {
        // user_namespaces(7): without CAP_SETGID, a gid map needs setgroups(2) given up first.
        write_file(op.kernel, pid, "setgroups", "deny")?;
    }
    for (file, tool, maps) in [("uid_map", "newuidmap", uids), ("gid_map", "newgidmap", gids)] {
        match write_file(op.kernel, pid, file, &spell(maps)) {
            Err(refused) if user && refused.errno == Errno::EPERM => {
                let Some(path) = find(op, tool) else { return Err(refused) };
                hooks::run(op, &call(path, pid, maps), "").map_err(|failure| {
                    Failure::told(format!("{tool}: {failure}"), failure.errno)
                })?;
            }
            written => written?,
        }
    }
    Ok(())
}

fn write_file<K: Kernel>(kernel: &K, pid: u32, file: &str, text: &str) -> Result<(), Failure> {
    let path = format!("/proc/{pid}/{file}");
    cgroup::write_file(kernel, &path, text).doing(|| format!("write {text:?} to {path}"))
}

fn spell(maps: &[IdMap]) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count)).collect()
}

/// Finds a program in the directories of `PATH`.
fn find<K: Kernel>(op: &Operation<'_, '_, K>, name: &str) -> Option<String> {
    let environment = op.runtime.environment();
    let dirs = environment.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(PATH);
    let absolute = dirs.split(':').filter(|dir| dir.starts_with('/'));
    absolute.map(|dir| format!("{dir}/{name}")).find(|path| {
        let Ok(path) = K::name(path.as_str()) else { return false };
        let (dir, flags) = (CWD, flags::AT_EACCESS);
        op.kernel.call(Call::Faccessat2 { dir, path: &path, mode: 1, flags }).is_ok()
    })
}

/// How a tool is called: with the process, and three numbers for each map.
fn call(path: String, pid: u32, maps: &[IdMap]) -> Hook {
    let numbers = maps.iter().flat_map(|map| [map.inside, map.outside, map.count]);
    let args =
        [path.clone()].into_iter().chain([pid].into_iter().chain(numbers).map(|n| n.to_string()));
    Hook { args: args.collect(), path, env: None, timeout_secs: None }
}
