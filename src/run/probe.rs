//! The host, asked once: what the compiler of programs and the cgroups depend on.
//!
//! **Invariant:** everything later decides by the [`Host`] value; nothing is probed a second time.

use std::collections::BTreeSet;

use crate::plan::{Feature, Hierarchy, Host, Version};
use crate::sys::{CWD, Call, Errno, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};
use super::identity::read_file;

/// Asks the kernel what it is and has.
///
/// # Errors
///
/// Fails where `/proc` does not say.
pub(super) fn host<K: Kernel>(kernel: &K) -> Result<Host, Failure> {
    let status = read_file(kernel, c"/proc/self/status").doing(|| "read /proc/self/status")?;
    let hex = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| u64::from_str_radix(rest.trim(), 16).ok()).unwrap_or(0)
    };
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let user = uids.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok());
    let nodes = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"));
    Ok(Host {
        memory_nodes: nodes.unwrap_or_default().trim().to_owned(),
        bounding: hex("CapBnd:"),
        ignored_signals: hex("SigIgn:"),
        hierarchies: hierarchies(kernel)?,
        user: user.unwrap_or(0),
        user_namespace: nested(kernel)?,
        missing: missing(kernel),
    })
}

/// Returns whether the caller lives in another user namespace than the first, whose number never
/// changes (include/uapi/linux/nsfs.h of the kernel); one without any has no link.
fn nested<K: Kernel>(kernel: &K) -> Result<bool, Failure> {
    match kernel.read_link(CWD, c"/proc/self/ns/user") {
        Ok(link) => Ok(link != b"user:[4026531837]"),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Failure::new("read /proc/self/ns/user", errno)),
    }
}

/// What a kernel from Linux 5.10 on may lack.
///
/// Asked about no mount at all, mount_setattr(2) says whether it is there (5.12); whoever has it
/// also has `CLOSE_RANGE_CLOEXEC` (5.11).
fn missing<K: Kernel>(kernel: &K) -> BTreeSet<Feature> {
    let nothing =
        Call::MountSetattr { dir: -1, path: c"", flags: 0, set: 0, clear: 0, propagation: 0 };
    match kernel.call(nothing) {
        Err(Errno::ENOSYS) => BTreeSet::from([Feature::CloseRange, Feature::MountSetattr]),
        Ok(_) | Err(_) => BTreeSet::new(),
    }
}

/// Finds the cgroup hierarchies, and where in each the caller is.
fn hierarchies<K: Kernel>(kernel: &K) -> Result<Vec<Hierarchy>, Failure> {
    let own = read_file(kernel, c"/proc/self/cgroup").doing(|| "read /proc/self/cgroup")?;
    Ok(parse(&own, &mountinfo(kernel)?))
}

/// Returns where something is mounted.
///
/// # Errors
///
/// Fails where `/proc` does not say.
pub(super) fn mounts<K: Kernel>(kernel: &K) -> Result<Vec<String>, Failure> {
    let text = mountinfo(kernel)?;
    let places = text.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(places.map(unescape).collect())
}

fn mountinfo<K: Kernel>(kernel: &K) -> Result<String, Failure> {
    let path = c"/proc/self/mountinfo";
    let text = kernel
        .open(CWD, path, flags::O_RDONLY)
        .and_then(|file| kernel.read_all(file.raw()))
        .doing(|| "read /proc/self/mountinfo")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads cgroups(7)'s `/proc/PID/cgroup` and proc_pid_mountinfo(5) together.
fn parse(own: &str, mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let mut front = front.split(' ').skip(3);
        let (Some(root), Some(mount)) = (front.next(), front.next()) else { continue };
        let mut back = back.split(' ');
        let version = match back.next() {
            Some("cgroup") => Version::V1,
            Some("cgroup2") => Version::V2,
            Some(_) | None => continue,
        };
        let options = back.nth(1).unwrap_or_default();
        let words = options.split(',');
        let (controllers, options): (Vec<String>, _) = match version {
            Version::V1 => {
                let named = words.filter(|word| !GENERAL.contains(word) && !word.is_empty());
                (named.map(str::to_owned).collect(), String::new())
            }
            Version::V2 => {
                let kept: Vec<_> = words.filter(|word| SHARED.contains(word)).collect();
                (Vec::new(), kept.join(","))
            }
        };
        let Some(own) = place(own, &controllers) else { continue };
        let seen = |h: &Hierarchy| h.version == version && h.controllers == controllers;
        if !found.iter().any(seen) {
            let (mount, root) = (unescape(mount), unescape(root));
            found.push(Hierarchy { mount, controllers, version, own, root, options });
        }
    }
    found
}

/// Mount options of a v1 hierarchy that name no controller.
const GENERAL: [&str; 6] = ["rw", "ro", "xattr", "noprefix", "clone_children", "all"];

/// Mount options of v2, which are those of the hierarchy and not of one mount (cgroups(7)).
const SHARED: [&str; 6] = [
    "favordynmods",
    "memory_hugetlb_accounting",
    "memory_localevents",
    "memory_recursiveprot",
    "nsdelegate",
    "pids_localevents",
];

/// The caller's cgroup in the hierarchy of these controllers; none of them is v2.
fn place(own: &str, controllers: &[String]) -> Option<String> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        let first = controllers.first().map_or("", String::as_str);
        names.split(',').any(|name| name == first).then(|| path.to_owned())
    })
}

/// Undoes the octal escapes of mountinfo.
fn unescape(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Hierarchy {
    /// Returns whether the hierarchy has a controller.
    #[must_use]
    pub(super) fn controls(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// Returns the time of day as RFC 3339 has it.
///
/// # Errors
///
/// Those of clock_gettime(2).
pub(crate) fn now<K: Kernel>(kernel: &K) -> Result<String, Failure> {
    let (seconds, nanoseconds) = kernel.clock(flags::CLOCK_REALTIME).doing(|| "read the clock")?;
    Ok(rfc3339(seconds, nanoseconds))
}

/// Spells a time in UTC; days are counted from March, so that leap days come last.
fn rfc3339(seconds: u64, nanoseconds: u32) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_in_utc() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(rfc3339(1_709_251_199, 0), "2024-02-29T23:59:59.000000000Z");
        assert_eq!(rfc3339(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
    }

    #[test]
    fn hybrid_hierarchies_are_found_by_their_options() {
        let own = "2:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c\n";
        let mounts = "\
            31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            33 31 0:30 /x /sys/fs/cgroup/my\\040systemd rw s:1 - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 \
            rw,seclabel,nsdelegate,memory_recursiveprot\n";
        let options: Vec<_> = parse(own, mounts).into_iter().map(|h| h.options).collect();
        assert_eq!(options, ["", "", "nsdelegate,memory_recursiveprot"]);
        let found: Vec<_> =
            parse(own, mounts).into_iter().map(|h| (h.mount, h.own, h.version)).collect();
        let expected = [
            ("/sys/fs/cgroup/cpu,cpuacct", "/a", Version::V1),
            ("/sys/fs/cgroup/my systemd", "/b", Version::V1),
            ("/sys/fs/cgroup/unified", "/c", Version::V2),
        ];
        assert_eq!(found, expected.map(|(m, o, v)| (m.to_owned(), o.to_owned(), v)));
    }

    #[test]
    fn what_says_nothing_of_a_hierarchy_is_passed_over() {
        let own = "1:cpu:/a\n";
        let mounts = "\
            no separator at all\n\
            1 2 0:1 / - cgroup cgroup rw,cpu\n\
            31 23 0:28 /x /not/joined rw - cgroup cgroup rw,memory\n\
            32 31 0:29 / /first rw - cgroup cgroup rw,cpu\n\
            33 31 0:29 / /again rw - cgroup cgroup rw,cpu\n";
        let found: Vec<_> = parse(own, mounts).into_iter().map(|h| h.mount).collect();
        assert_eq!(found, ["/first"]);
    }

    #[test]
    fn only_three_octal_digits_behind_a_backslash_are_an_escape() {
        let paths = ["a\\040b", "a\\134", "a\\04", "a\\400", "040", "x040", ""];
        let expected = ["a b", "a\\", "a\\04", "a\\400", "040", "x040", ""];
        assert_eq!(paths.map(unescape), expected);
    }
}
