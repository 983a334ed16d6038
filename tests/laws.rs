//! Laws: what a kernel answers, as short programs of calls, checked on every kernel there is.
//!
//! The fake is believed because it obeys the same laws as Linux does. A law that holds on one and
//! not on the other is a bug of the fake, and each (call, errno) that the fake produces has one.

#![cfg(feature = "fake")]
#![expect(clippy::unwrap_used, reason = "a law whose ground gives way fails, and says where")]

use std::cell::RefCell;
use std::ffi::CString;

use cofferdam::backend::fake::{Cgroups, Payload, Process, Profile, World};
use cofferdam::sys::{Call, Errno, Kernel, Live};

mod laws {
    pub(crate) mod cgroups;
    pub(crate) mod children;
    pub(crate) mod fifos;
    pub(crate) mod files;
    pub(crate) mod ground;
    pub(crate) mod locks;
    pub(crate) mod mounts;
    pub(crate) mod processes;
    pub(crate) mod sockets;
    pub(crate) mod walks;
}

use laws::ground::Ground;

/// Makes each law a test on each kernel; another kernel is another line here.
#[macro_export]
macro_rules! laws {
    ($($(#[$doc:meta])* fn $name:ident($ground:ident) $body:block)*) => {
        $($(#[$doc])* fn $name<K: cofferdam::sys::Kernel>($ground: &$crate::Ground<'_, K>) $body)*

        mod fake { $(#[test] fn $name() { $crate::on_fake(|ground| super::$name(ground)); })* }
    };
}

/// Checks a law on the fake kernel, with cgroups of either version.
fn on_fake(law: impl Fn(&Ground<'_, Listed<'_, Process<'_>>>)) {
    for cgroups in [Cgroups::V2, Cgroups::V1] {
        let mut fresh = World::new(Profile { cgroups, ..Profile::default() });
        fresh.payload("/bin/sleep", Payload::sleep());
        fresh.payload("/bin/false", Payload::exit(1));
        fresh.mkdir("/run/law");
        let pid = fresh.client();
        let world = RefCell::new(fresh);
        let kernel = World::process(&world, pid);
        let own = |version| (cgroups == version).then(|| "/sys/fs/cgroup".to_owned());
        check(&kernel, "/run/law", [own(Cgroups::V1), own(Cgroups::V2)], &law);
        let violations = world.borrow().violations().to_vec();
        assert_eq!(violations, law_violations(&violations), "nobody closes what is not open");
    }
}

/// The law of closing twice is the one that closes twice.
fn law_violations(found: &[String]) -> Vec<String> {
    found.iter().filter(|line| line.contains("closed 2147483000")).cloned().collect()
}

fn check<K: Kernel>(
    kernel: &K,
    directory: &str,
    cgroups: [Option<String>; 2],
    law: &dyn Fn(&Ground<'_, Listed<'_, K>>),
) {
    let [v1, v2] = cgroups;
    law(&Ground { kernel: &Listed(kernel), directory: directory.to_owned(), v1, v2 });
}

/// What Linux gives though the table does not list it: a birth in a removed cgroup (law
/// `a_birth_in_a_removed_cgroup_is_enoent`).
const UNLISTED: [(&str, Errno); 1] = [("clone3", Errno::ENOENT)];

/// A kernel that is held to the table of calls: every errno stands in the row of its call.
struct Listed<'k, K>(&'k K);

impl<K: Kernel> Kernel for Listed<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let (answer, row) = (self.0.call(call), call.row());
        if let Err(errno) = answer {
            let listed = row.errnos.contains(&errno) || UNLISTED.contains(&(row.name, errno));
            assert!(listed, "{} may not give {errno:?}", row.name);
        }
        answer
    }
}

/// Returns a name as the kernel takes it.
fn name(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap()
}
