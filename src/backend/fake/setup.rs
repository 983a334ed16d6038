//! A fresh machine, and what a test puts on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cgroupfs;
use super::creds::Creds;
use super::fds::{Entry, Open, What};
use super::files::{Ino, Inode, Node, Place};
use super::mounts::Mount;
use super::payload::Payload;
use super::procs::{Role, Task};
use super::profile::Caller;
use super::spaces::{Held, Kind, Run, Space};
use super::table::Table;
use super::walk::Walk;
use super::{Pid, Profile, World};
use crate::sys::{CWD, flags};

/// The number of the root directory.
pub(super) const ROOT: u32 = 1;
/// The number of the root mount.
const ROOT_MOUNT: u32 = 1;
/// The number of whoever is root in a container with a user namespace.
const NESTED: u32 = 100_000;

impl World {
    /// Returns a fresh machine: the first process, a small tree, /proc, /sys and cgroups.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let mut world = Self {
            profile: Arc::new(profile),
            tasks: Table::default(),
            inodes: Table::default(),
            opens: Table::default(),
            sockets: Table::default(),
            mounts: Table::default(),
            spaces: Table::default(),
            cgroups: Table::default(),
            sysctls: Table::default(),
            hierarchies: Arc::new([]),
            last_pid: 1,
            makers: 0,
            now_ms: 1000,
            boot: 1,
            signals: Arc::default(),
            violations: Arc::default(),
            watched: None,
        };
        let home = Place { mount: ROOT_MOUNT, ino: Ino::Plain(ROOT) };
        let mut init = Task::new(0, Role::Reaper, home);
        init.inner = 1;
        world.tasks.insert(1, init);
        world.first_spaces();
        world.first_tree();
        world.first_cgroups();
        world.task_mut(1).cgroups = world.first_membership();
        world.first_caller();
        world
    }

    fn first_spaces(&mut self) {
        let whole: Arc<[Run]> = Arc::new([Run { inside: 0, outside: 0, count: u32::MAX }]);
        for kind in Kind::ALL {
            let held = match kind {
                Kind::Cgroup => Held::Cgroup { roots: Arc::new([]) },
                Kind::Mnt => Held::Mnt { root: ROOT_MOUNT },
                Kind::Pid => Held::Pid { init: 1, last: 0 },
                Kind::User => Held::User {
                    maker: 0,
                    uids: Arc::clone(&whole),
                    gids: Arc::clone(&whole),
                    groups_denied: false,
                },
                Kind::Uts => Held::Uts { host: b"fake"[..].into(), domain: b"(none)"[..].into() },
                Kind::Ipc | Kind::Net | Kind::Time => Held::Nothing,
            };
            self.spaces.insert(kind.first(), Space { kind, owner: Kind::User.first(), held });
        }
    }

    /// Gives the first process, after which the others are made, what a caller has of the machine.
    fn first_caller(&mut self) {
        let (user, controllers) = match self.profile.caller {
            Caller::Root => return,
            Caller::User(controllers) => (Caller::USER, controllers),
            Caller::Nested => (NESTED, &cgroupfs::CONTROLLERS[..]),
        };
        self.own("/run", user);
        if controllers.is_empty() {
            self.task_mut(1).creds = Creds::of(user);
        } else {
            self.delegate(user, controllers);
        }
        if self.profile.caller == Caller::Nested {
            self.contain(user);
        }
    }

    /// Gives a user a cgroup that has those controllers and hands them on, as cgroups(7) says under
    /// "delegation", and moves the first process into one below it.
    fn delegate(&mut self, user: u32, controllers: &[&'static str]) {
        let (above, session) = ("/sys/fs/cgroup/user", "/sys/fs/cgroup/user/session");
        let root = self.task(1).cgroups[0];
        for row in [root, self.cgroup(above)] {
            if let Some(cgroup) = self.cgroups.get_mut(row) {
                cgroup.enabled = controllers.into();
            }
        }
        for file in ["", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"] {
            self.own(&format!("{above}{file}"), user);
        }
        self.task_mut(1).creds = Creds::of(user);
        let session = self.cgroup(session);
        self.task_mut(1).cgroups = Arc::new([session]);
    }

    /// Makes a cgroup as the first process.
    fn cgroup(&mut self, path: &str) -> u32 {
        let made = self.mkdirat(1, (CWD, path.as_bytes()), 0o755);
        match self.place_at(path).ino {
            Ino::Cgroup(row) if made.is_ok() => row,
            _ => panic!("{path} is no cgroup: {made:?}"),
        }
    }

    /// Puts the first process into a user namespace whose root is that user, who owns every file,
    /// and into a mount namespace of its own there.
    fn contain(&mut self, root: u32) {
        for row in self.inodes.keys() {
            self.set_owner(Ino::Plain(row), root, root);
        }
        let map: Arc<[Run]> = Arc::new([Run { inside: 0, outside: root, count: 65536 }]);
        let held =
            Held::User { maker: root, uids: Arc::clone(&map), gids: map, groups_denied: false };
        let owner = self.spaces.add(Space { kind: Kind::User, owner: Kind::User.first(), held });
        let task = self.task_mut(1);
        task.set_space(Kind::User, owner);
        task.creds.crown();
        let held = Held::Mnt { root: 0 };
        let mounts = self.spaces.add(Space { kind: Kind::Mnt, owner, held });
        self.copy_mounts(1, mounts);
    }

    fn first_tree(&mut self) {
        let mut root = Inode::new(Node::directory(ROOT), 0o755, 10);
        root.links = 1;
        self.inodes.insert(ROOT, root);
        let mut mount = Mount::new("ext4", Ino::Plain(ROOT));
        mount.source = b"/dev/root"[..].into();
        mount.space = Kind::Mnt.first();
        mount.peers = 1;
        self.mounts.insert(ROOT_MOUNT, mount);
        for path in ["/proc", "/sys", "/dev", "/run", "/tmp", "/bin"] {
            self.mkdir(path);
        }
        for (name, number) in [
            ("null", (1, 3)),
            ("zero", (1, 5)),
            ("full", (1, 7)),
            ("random", (1, 8)),
            ("urandom", (1, 9)),
            ("tty", (5, 0)),
        ] {
            let node = Node::Device { kind: flags::S_IFCHR, number };
            self.put(&format!("/dev/{name}"), node, 0o666);
        }
        self.mount_here("/proc", "proc");
        self.mount_here("/sys", "sysfs");
    }

    /// Mounts a file system of a kind at a path, as the first process would.
    pub(super) fn mount_here(&mut self, path: &str, kind: &str) -> u32 {
        let root = self.new_root(kind);
        let mut mount = Mount::new(kind, root);
        mount.space = Kind::Mnt.first();
        mount.pids = Kind::Pid.first();
        mount.peers = self.free_peers();
        mount.at = self.place_at(path);
        self.mounts.add(mount)
    }

    /// Makes a directory with those above it.
    pub fn mkdir(&mut self, path: &str) {
        let mut made = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            made.push('/');
            made.push_str(part);
            if !self.exists(&made) {
                self.put(&made, Node::directory(0), 0o755);
            }
        }
    }

    /// Makes a file with that content.
    pub fn write_file(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, Node::file(bytes), 0o644);
    }

    /// Makes a symbolic link at `path`.
    pub fn symlink(&mut self, target: &str, path: &str) {
        self.put(path, Node::Link(target.as_bytes().into()), 0o777);
    }

    /// Makes an executable file with that behaviour.
    pub fn payload(&mut self, path: &str, payload: Payload) {
        let row = self.put(path, Node::file(b"\x7fELF"), 0o755);
        if let Some(inode) = self.inodes.get_mut(row) {
            inode.payload = Some(Arc::new(payload));
        }
    }

    /// Makes a socket that somebody outside listens on; see [`World::received`].
    pub fn listener(&mut self, path: &str) {
        self.put(path, Node::Socket { listened: true }, 0o777);
    }

    /// Changes the owner of a path.
    pub fn own(&mut self, path: &str, id: u32) {
        let place = self.place_at(path);
        self.set_owner(place.ino, id, id);
    }

    /// Returns the content of a file, as the first process would read it.
    #[must_use]
    pub fn read_file(&self, path: &str) -> Option<Vec<u8>> {
        let place = self.find(Walk::new(1, CWD, path.as_bytes())).ok()?;
        self.whole(1, place).ok()
    }

    /// Returns whether a path leads to something.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.find(Walk::new(1, CWD, path.as_bytes())).is_ok()
    }

    /// Returns whether somebody has a file locked for writers, or reads a fifo.
    #[must_use]
    pub fn is_taken(&self, path: &str) -> bool {
        let found = self.find(Walk::new(1, CWD, path.as_bytes()));
        found.is_ok_and(|place| {
            self.is_locked(place.ino)
                || matches!(place.ino, Ino::Plain(row) if self.has_reader(row))
        })
    }

    /// Returns the object at a path which has to exist.
    pub(super) fn place_at(&self, path: &str) -> Place {
        let found = self.find(Walk::new(1, CWD, path.as_bytes()));
        let Ok(place) = found else { panic!("{path} is not there") };
        place
    }

    fn put(&mut self, path: &str, node: Node, mode: u32) -> u32 {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = if above.is_empty() { "/" } else { above };
        if above != "/" {
            self.mkdir(above);
        }
        let Ino::Plain(directory) = self.place_at(above).ino else {
            panic!("{above} keeps no files");
        };
        let device = self.inodes.get(directory).map_or(0, |inode| inode.device);
        let row = self.inodes.add(Inode::new(node, mode, device));
        self.unlink(directory, name.as_bytes());
        self.link(directory, name.as_bytes(), row);
        row
    }

    /// Starts a process of the runtime's: a child of the first process, in its cgroups.
    ///
    /// # Panics
    ///
    /// Panics when no number is free.
    pub fn client(&mut self) -> Pid {
        self.makers += 1;
        let maker = self.makers;
        self.start_task(Role::Client, maker)
    }

    /// Starts a process that no client made.
    ///
    /// # Panics
    ///
    /// Panics when no number is free.
    pub fn stranger(&mut self, payload: Payload) -> Pid {
        self.start_task(Role::Script { payload: Arc::new(payload), at: 0 }, 0)
    }

    fn start_task(&mut self, role: Role, maker: u32) -> Pid {
        let mut task = Task::new(1, role, self.task(1).root);
        task.maker = maker;
        let first = self.task(1);
        task.creds = first.creds.clone();
        task.cgroups = Arc::clone(&first.cgroups);
        for kind in [Kind::Mnt, Kind::User] {
            task.set_space(kind, first.space(kind));
        }
        if maker != 0 {
            let null = self.place_at("/dev/null");
            let mut open = Open::new(What::Named(null), flags::O_RDWR);
            open.holders = 0;
            let open = self.opens.add(open);
            let entry = Entry { open, cloexec: false };
            task.fds = Arc::new(BTreeMap::from([(0, entry), (1, entry), (2, entry)]));
        }
        let Ok(pid) = self.add_task(task) else { panic!("no process number is free") };
        pid
    }

    /// Makes the next process get that number, if it is free, as if all others had been used since
    /// the last: that takes a tick of the clock at least.
    pub const fn next_pid(&mut self, pid: Pid) {
        self.last_pid = pid.saturating_sub(1);
        self.now_ms = (self.now_ms / 10 + 1) * 10;
    }

    /// Returns the numbers of the processes that are there, zombies too.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<Pid> {
        self.tasks.keys().into_iter().collect()
    }

    /// Restarts the machine: processes, cgroups and later mounts are gone, and what lay in those
    /// directories, which are on no disk. The clock and the numbers begin anew.
    pub fn reboot(&mut self, volatile: &[&str]) {
        let fresh = Self::new(Profile::clone(&self.profile));
        let boot = self.boot + 1;
        let later = self.mounts.keys().into_iter().filter(|row| !fresh.mounts.has(*row));
        for row in later.collect::<Vec<_>>() {
            self.mounts.remove(row);
        }
        let (inodes, mounts, makers) = (self.inodes.clone(), self.mounts.clone(), self.makers);
        *self = Self { inodes, mounts, makers, boot, ..fresh };
        for path in volatile {
            self.empty(self.place_at(path).ino);
        }
    }

    fn empty(&mut self, ino: Ino) {
        let Ino::Plain(row) = ino else { return };
        let entries = match self.inodes.get(row).map(|inode| &inode.node) {
            Some(Node::Directory { entries, .. }) => entries.clone(),
            Some(_) | None => return,
        };
        for (name, child) in entries {
            self.empty(Ino::Plain(child));
            self.unlink(row, &name);
        }
    }
}
