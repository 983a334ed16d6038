//! Laws: what a kernel answers, as short programs of calls, checked on every kernel there is.
//!
//! The fake is believed because it obeys the same laws as Linux does. A law that holds on one and
//! not on the other is a bug of the fake, and each (call, errno) that the fake produces has one.
//! A law that a host cannot witness, for lack of a controller, says so; none passes in silence.

#![cfg(feature = "fake")]
#![expect(clippy::unwrap_used, reason = "a law whose ground gives way fails, and says where")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CString;

use cofferdam::backend::fake::{Action, AppArmor, Cgroups, Payload, Process, Profile, World};
use cofferdam::sys::{Call, Errno, Kernel, Live, flags};

mod laws {
    pub(crate) mod cgroups;
    pub(crate) mod children;
    pub(crate) mod copy;
    pub(crate) mod descriptors;
    pub(crate) mod families;
    pub(crate) mod fifos;
    pub(crate) mod files;
    pub(crate) mod freezer;
    pub(crate) mod ground;
    pub(crate) mod groupfiles;
    pub(crate) mod groups;
    pub(crate) mod handlers;
    pub(crate) mod labels;
    pub(crate) mod limits;
    pub(crate) mod links;
    #[cfg(all(feature = "linux", target_os = "linux"))]
    pub(crate) mod linux;
    pub(crate) mod locks;
    pub(crate) mod modes;
    pub(crate) mod mounts;
    pub(crate) mod names;
    pub(crate) mod options;
    pub(crate) mod paths;
    pub(crate) mod processes;
    pub(crate) mod procfs;
    pub(crate) mod reach;
    pub(crate) mod rights;
    pub(crate) mod sockets;
    pub(crate) mod spaces;
    pub(crate) mod swaps;
    pub(crate) mod trees;
    pub(crate) mod waits;
    pub(crate) mod walks;
}

use laws::ground::{Ground, Place};
#[cfg(all(feature = "linux", target_os = "linux"))]
use laws::linux::Host;

/// Makes each law a test on each kernel; another kernel is another line here.
#[macro_export]
macro_rules! laws {
    ($($(#[$doc:meta])* fn $name:ident($ground:ident) $body:block)*) => {
        $($(#[$doc])* fn $name<K: cofferdam::sys::Kernel>($ground: &$crate::Ground<'_, K>) $body)*

        mod fake { $(#[test] fn $name() { $crate::on_fake(|ground| super::$name(ground)); })* }

        #[cfg(all(feature = "linux", target_os = "linux"))]
        mod linux {
            $(#[test] fn $name() {
                $crate::on_linux(stringify!($name), |ground| super::$name(ground));
            })*
        }
    };
}

/// Checks a law on the fake kernel, with cgroups of either version and of both.
fn on_fake(law: impl Fn(&Ground<'_, Listed<'_, Process<'_>>>)) {
    let mut missed = Vec::new();
    for cgroups in [Cgroups::V2, Cgroups::V1, Cgroups::Hybrid] {
        let apparmor = AppArmor::On([laws::labels::LOADED].into());
        let mut fresh = World::new(Profile { apparmor, cgroups, ..Profile::default() });
        fresh.payload("/bin/sleep", Payload::sleep());
        fresh.payload("/bin/false", Payload::exit(1));
        fresh.payload("/bin/true", Payload::exit(0));
        fresh.mkdir("/run/law");
        let mut place = Place { directory: "/run/law".to_owned(), ..Place::default() };
        for (name, payload) in programs() {
            let path = format!("/bin/{name}");
            fresh.payload(&path, payload);
            place.programs.insert(name, vec![path]);
        }
        let pid = fresh.client();
        let world = RefCell::new(fresh);
        let kernel = World::process(&world, pid);
        let top = "/sys/fs/cgroup";
        place.v2 = match cgroups {
            Cgroups::V2 => Some(top.to_owned()),
            Cgroups::Hybrid => Some(format!("{top}/unified")),
            Cgroups::V1 => None,
        };
        if cgroups != Cgroups::V2 {
            let tree = |name: &str| (name.to_owned(), format!("{top}/{name}"));
            place.v1 = BTreeMap::from(["cpuset", "devices", "freezer", "memory", "pids"].map(tree));
            let both =
                ["cpu", "cpuacct"].map(|name| (name.to_owned(), format!("{top}/cpu,cpuacct")));
            place.v1.extend(both);
        }
        place.tops = place.v1.clone();
        place.tops.extend(place.v2.clone().map(|top| (String::new(), top)));
        missed.push(check(&kernel, &place, &law));
        let violations = world.borrow().violations().to_vec();
        assert_eq!(violations, law_violations(&violations), "nobody closes what is not open");
    }
    assert!(missed.iter().any(Vec::is_empty), "no fake kernel witnesses this: {missed:?}");
}

/// Returns what the programs do that laws name.
fn programs() -> [(&'static str, Payload); 7] {
    let hello: &[u8] = b"hello\n";
    [
        ("crashes", [Action::Crash(10)].into()),
        ("handles", [Action::Trap(flags::SIGTERM, 3), Action::Sleep].into()),
        ("ignores", [Action::Ignore(flags::SIGTERM), Action::Sleep].into()),
        ("leaves", [Action::Fork(1), Action::Sleep, Action::Exit(4)].into()),
        ("reads", [Action::ReadStdin].into()),
        ("waits", [Action::Fork(1), Action::Exit(0), Action::Sleep].into()),
        ("writes", [Action::WriteOut(hello.into())].into()),
    ]
}

/// The law of closing twice is the one that closes twice.
fn law_violations(found: &[String]) -> Vec<String> {
    found.iter().filter(|line| line.contains("closed 2147483000")).cloned().collect()
}

/// Checks a law on the kernel that runs the tests.
#[cfg(all(feature = "linux", target_os = "linux"))]
fn on_linux(name: &str, law: impl Fn(&Ground<'_, Listed<'_, cofferdam::backend::linux::Linux>>)) {
    let host = Host::new(name);
    for why in check(&cofferdam::backend::linux::Linux, host.place(), &law) {
        Host::tell(&format!("law {name}: not witnessed here: {why}"));
    }
}

/// Returns why a law could not be checked; nothing if it could, and holds.
fn check<K: Kernel>(
    kernel: &K,
    place: &Place,
    law: &dyn Fn(&Ground<'_, Listed<'_, K>>),
) -> Vec<String> {
    let ground = Ground { kernel: &Listed(kernel), place, missed: RefCell::default() };
    law(&ground);
    ground.missed.into_inner()
}

/// A kernel that is held to the table of calls: every errno stands in the row of its call.
struct Listed<'k, K>(&'k K);

impl<K: Kernel> Kernel for Listed<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let (answer, row) = (self.0.call(call), call.row());
        if let Err(errno) = answer {
            // A second panic, in a destructor, would hide the first.
            let listed = row.errnos.contains(&errno) || std::thread::panicking();
            assert!(listed, "{} may not give {errno:?}", row.name);
        }
        answer
    }
}

/// Returns a name as the kernel takes it.
fn name(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap()
}
