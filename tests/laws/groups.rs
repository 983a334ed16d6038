//! A cgroup of a law's own, of whichever version there is.

use std::ffi::CString;

use cofferdam::sys::{CWD, Errno, Kernel, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{Born, How, sleep};

/// A cgroup of the law's own.
pub(crate) struct Group<'g, 'k, K: Kernel> {
    pub(crate) ground: &'g Ground<'k, K>,
    pub(crate) path: String,
}

impl<'g, 'k, K: Kernel> Group<'g, 'k, K> {
    pub(crate) fn new(ground: &'g Ground<'k, K>, top: &str) -> Self {
        Self::begin(ground, top);
        let path = format!("{top}/law");
        ground.kernel.mkdir(CWD, &crate::name(&*path), 0o755).unwrap();
        Self { ground, path }
    }

    /// Makes the directory that the law may have of a tree.
    pub(crate) fn begin(ground: &'g Ground<'k, K>, top: &str) {
        let made = ground.kernel.mkdir(CWD, &crate::name(top), 0o755);
        assert!(matches!(made, Ok(()) | Err(Errno::EEXIST)), "{top}: {made:?}");
    }

    pub(crate) fn v2(ground: &'g Ground<'k, K>) -> Option<Self> {
        let top = ground.place.v2.as_deref();
        if top.is_none() {
            ground.miss("no cgroup v2");
        }
        Some(Self::new(ground, top?))
    }

    pub(crate) fn v1(ground: &'g Ground<'k, K>) -> Option<Self> {
        let top = ground.place.v1.get("freezer");
        if top.is_none() {
            ground.miss("no freezer of cgroup v1");
        }
        Some(Self::new(ground, top?))
    }

    /// Makes a cgroup of each version that there is.
    pub(crate) fn both(ground: &'g Ground<'k, K>) -> impl Iterator<Item = Self> {
        let tops = ground.place.v1.get("freezer").into_iter().chain(&ground.place.v2);
        if tops.clone().next().is_none() {
            ground.miss("no cgroups");
        }
        tops.map(|top| Self::new(ground, top))
    }

    /// Makes a cgroup that has a controller.
    pub(crate) fn tree(ground: &'g Ground<'k, K>, controller: &str) -> Option<Self> {
        if let Some(top) = ground.place.v1.get(controller) {
            return Some(Self::new(ground, top));
        }
        Self::unified(ground, controller)
    }

    /// Makes a cgroup of v2 that has a controller.
    pub(crate) fn unified(ground: &'g Ground<'k, K>, controller: &str) -> Option<Self> {
        let given = ground.place.v2.as_deref().filter(|top| {
            Self::begin(ground, top);
            let file = format!("{top}/cgroup.subtree_control");
            ground.write(&file, &format!("+{controller}")).is_ok()
        });
        if given.is_none() {
            ground.miss(format!("no controller {controller} in cgroup v2"));
        }
        Some(Self::new(ground, given?))
    }

    pub(crate) fn read(&self, file: &str) -> Result<String, Errno> {
        self.ground.read(&format!("{}/{file}", self.path))
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> Result<(), Errno> {
        self.ground.write(&format!("{}/{file}", self.path), text)
    }

    /// Makes a cgroup below; whoever makes it removes it.
    pub(crate) fn inner(&self) -> CString {
        let inner = crate::name(format!("{}/inner", self.path));
        self.ground.kernel.mkdir(CWD, &inner, 0o755).unwrap();
        inner
    }

    /// Makes a child that sleeps in this cgroup.
    pub(crate) fn born(&self) -> Born<'k, K> {
        if self.read("cgroup.events").is_err() {
            let born = self.ground.sleeper();
            self.write("cgroup.procs", &born.pid.to_string()).unwrap();
            return born;
        }
        let directory = self.ground.open_absolute(&self.path, flags::O_DIRECTORY).unwrap();
        let how = How { cgroup: Some(directory.raw()), ..How::default() };
        self.ground.spawn(&sleep(), how).unwrap()
    }

    /// Freezes the cgroup, and waits until everybody in it is frozen.
    pub(crate) fn freeze(&self) {
        if self.read("cgroup.events").is_err() {
            self.write("freezer.state", "FROZEN").unwrap();
            self.until("freezer.state", "FROZEN");
        } else {
            self.write("cgroup.freeze", "1").unwrap();
            self.until("cgroup.events", "frozen 1");
        }
    }

    pub(crate) fn thaw(&self) {
        if self.read("cgroup.events").is_err() {
            self.write("freezer.state", "THAWED").unwrap();
        } else {
            self.write("cgroup.freeze", "0").unwrap();
        }
    }

    pub(crate) fn remove(&self) -> Result<(), Errno> {
        self.ground.kernel.unlink(CWD, &crate::name(&*self.path), flags::AT_REMOVEDIR)
    }

    /// Waits until a cgroup below is removed.
    pub(crate) fn until_gone(&self, inner: &str) {
        let path = crate::name(format!("{}/{inner}", self.path));
        for _ in 0..1000 {
            match self.ground.kernel.unlink(CWD, &path, flags::AT_REMOVEDIR) {
                Ok(()) => return,
                Err(errno) => assert_eq!(errno, Errno::EBUSY),
            }
            self.ground.kernel.poll([], 5).unwrap();
        }
        panic!("{inner} is never removed");
    }

    /// Waits until a file begins with, or has a line of, that text.
    pub(crate) fn until(&self, file: &str, text: &str) {
        for _ in 0..1000 {
            if self.read(file).unwrap().lines().any(|line| line == text) {
                return;
            }
            self.ground.kernel.poll([], 5).unwrap();
        }
        panic!("{file} never says {text}");
    }

    pub(crate) fn until_removed(&self) {
        for _ in 0..1000 {
            match self.remove() {
                Ok(()) => return,
                Err(errno) => assert_eq!(errno, Errno::EBUSY),
            }
            self.ground.kernel.poll([], 5).unwrap();
        }
        panic!("{} is never removed", self.path);
    }
}

impl<K: Kernel> Drop for Group<'_, '_, K> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.ground.open_absolute(&self.path, flags::O_PATH).is_ok()
        {
            self.until_removed();
        }
    }
}
