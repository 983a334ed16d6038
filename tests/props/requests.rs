//! Requests that differ in a word, on the fake kernel: what comes of each, or why nothing does.
//!
//! | module    | about                                                                       |
//! |-----------|-----------------------------------------------------------------------------|
//! | `cgroups` | where a container's cgroups are, and limits that cannot be                  |
//! | `figures` | what a container is said to use                                             |
//! | `files`   | what is looked up in the image and the bundle before anything is made       |
//! | `hooks`   | programs on the way: what they write, how long they take                    |
//! | `lives`   | names, signals, and who comes second                                        |
//! | `users`   | ids, streams and cgroups of those who are not root                          |

#[path = "requests/cgroups.rs"]
mod cgroups;
#[path = "requests/figures.rs"]
mod figures;
#[path = "requests/files.rs"]
mod files;
#[path = "requests/hooks.rs"]
mod hooks;
#[path = "requests/lives.rs"]
mod lives;
#[path = "requests/users.rs"]
mod users;

use std::cell::RefCell;

use cofferdam::backend::fake::{Pid, Process, Profile, World};
use cofferdam::spec::Spec;
use cofferdam::sys::{Call, Errno, Kernel, Live};
use cofferdam::testing::lifecycle::{ID, ROOT, machine};
use cofferdam::{Container, Create, Error, Runtime};

/// A machine and a client on it.
struct Stage {
    world: RefCell<World>,
    pid: Pid,
}

impl Stage {
    fn new(profile: Profile) -> Self {
        Self::of(machine(profile))
    }

    fn of(mut world: World) -> Self {
        let pid = world.client();
        Self { world: RefCell::new(world), pid }
    }

    fn kernel(&self) -> Process<'_> {
        World::process(&self.world, self.pid)
    }

    fn runtime(&self) -> Runtime<Process<'_>> {
        Runtime::new(self.kernel(), ROOT).expect("a kernel with /proc")
    }

    /// Fails unless nothing is left of any container but what the test itself holds open.
    fn is_clean(&self, before: &World) {
        World::settle(&self.world);
        let mut left = self.world.borrow().residue(before);
        let expected = ["left: descriptor ", "left: /run/cofferdam: directory, 711 "];
        left.retain(|line| !expected.iter().any(|begin| line.starts_with(begin)));
        assert_eq!(left, [""; 0]);
    }
}

/// A kernel of which some calls are answered by somebody else.
struct Odd<K, F> {
    kernel: K,
    answer: F,
}

impl<K: Kernel, F: Fn(&Call<Live<'_>>) -> Option<Result<u64, Errno>>> Kernel for Odd<K, F> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        (self.answer)(&call).unwrap_or_else(|| self.kernel.call(call))
    }
}

/// The usual container, which sleeps.
fn usual() -> Create {
    let spec = Spec::usual("/bundle/rootfs", ["/bin/sleep"]);
    Create { bundle: "/bundle".to_owned(), spec, ..Create::default() }
}

fn told<T>(answer: Result<T, Error>) -> String {
    answer.map(drop).expect_err("is refused").to_string()
}

/// The program of a container's first process, as it is printed.
fn program<K: Kernel>(runtime: &Runtime<K>, create: &Create) -> String {
    runtime.compile(ID, create).expect("compiles").program.to_string()
}

fn run<'r, K: Kernel>(runtime: &'r Runtime<K>, create: &Create) -> Container<'r, K> {
    runtime.run(ID, create).expect("runs")
}

/// Answers what is opened at a path by what is at another.
fn elsewhere<'k, K: Kernel>(
    kernel: &'k K,
    from: &'k str,
    to: &'k std::ffi::CStr,
) -> impl Fn(&Call<Live<'_>>) -> Option<Result<u64, Errno>> + 'k {
    move |call| match *call {
        Call::Openat2 { dir, path, flags, mode, resolve } if path.to_str() == Ok(from) => {
            Some(kernel.call(Call::Openat2 { dir, path: to, flags, mode, resolve }))
        }
        _ => None,
    }
}
