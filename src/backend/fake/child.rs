//! Children: programs of the runtime's, advanced one call per turn by the one interpreter.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::fds::{self, Entry};
use super::files::Ino;
use super::midway::{Answered, Once};
use super::procs::Role;
use super::spaces::Kind;
use super::{Answer, Pid, World};
use crate::sys::{Call, Child, Code, Cursor, Errno, Kernel, Live, Op, RawFd, Strings, Turn, flags};

/// A program at some place, with the descriptors that it was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    code: Arc<Copied>,
    cursor: Cursor,
    /// What the operation at the cursor was answered so far.
    answered: Vec<Answered>,
    given: Arc<[RawFd]>,
    stage: Stage,
}

/// What a child does before and while it performs its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Going,
    /// It waits until its id maps are written.
    Mapping,
}

/// A program in the world, hashed once.
#[derive(Debug, PartialEq, Eq)]
struct Copied {
    hash: u64,
    ops: Box<[Op]>,
    bytes: Box<[u8]>,
    given: u8,
}

impl Hash for Copied {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Copied {
    fn new(code: Code<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        code.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            ops: code.ops.into(),
            bytes: code.bytes.into(),
            given: code.given,
        }
    }

    fn code(&self) -> Code<'_> {
        Code { ops: &self.ops, bytes: &self.bytes, given: self.given }
    }
}

/// The kernel as a child sees it during its turn.
struct Direct<'w> {
    world: RefCell<&'w mut World>,
    pid: Pid,
}

impl Kernel for Direct<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let mut world = self.world.borrow_mut();
        let fault = world.watched.as_mut().and_then(|watched| {
            let at = watched.asked.len();
            watched.asked.push(call.row());
            watched.fault.filter(|(number, _)| *number == at)
        });
        match fault {
            // A descriptor is closed whatever close(2) says.
            Some((_, errno)) if matches!(call, Call::Close { .. }) => {
                world.perform(self.pid, &call)?;
                Err(errno)
            }
            Some((_, errno)) => Err(errno),
            None => world.perform(self.pid, &call),
        }
    }
}

/// A kernel that only asks whether the next call could be performed, and would rather be later.
struct Peek<'w> {
    world: &'w World,
    pid: Pid,
    enabled: Cell<bool>,
    hasty: Cell<bool>,
}

impl Kernel for Peek<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let waits = self.world.could_wait(self.pid, &call);
        self.enabled.set(waits || self.world.enabled(self.pid, &call));
        self.hasty.set(self.world.would_rather_wait(self.pid, &call));
        Err(Errno::EIO)
    }
}

impl World {
    /// Makes a child of `pid` that performs a program.
    pub(super) fn spawn(&mut self, pid: Pid, child: Child<'_>, pidfd: &[Cell<u8>]) -> Answer {
        let joined = self.birthplace(pid, child.cgroup)?;
        for fd in child.given.iter().chain(child.tasks) {
            self.open_of(pid, *fd)?;
        }
        let stage = if child.mapped { Stage::Mapping } else { Stage::Going };
        let running = Running {
            code: Arc::new(Copied::new(child.code)),
            cursor: Cursor::new(child.code, child.given),
            answered: Vec::new(),
            given: child.given.into(),
            stage,
        };
        let cgroups = match joined {
            Some(cgroup) => self.moved(pid, cgroup),
            None => Arc::clone(&self.task(pid).cgroups),
        };
        let role = Role::Program(running);
        let made = self.copy_task_into(pid, role, child.namespaces, cgroups)?;
        for fd in child.tasks {
            let joined = self.perform(made, &Call::Write { fd: *fd, bytes: b"0" });
            if joined.is_err() {
                self.die(made, 1 << 8);
                while self.task(made).life.is_charged() {
                    self.fade(made);
                }
                self.reap(made);
                return joined;
            }
        }
        self.keep_only(made, child.given);
        let open = fds::Open::new(fds::What::Pidfd(Some(made)), flags::O_RDWR | flags::O_CLOEXEC);
        let fd = self.give(pid, open)?;
        super::parts::fill(pidfd, &fd.to_le_bytes()[..4]);
        Ok(u64::from(self.number_in(self.task(pid).space(Kind::Pid), made)))
    }

    /// Returns whether a child of that birthplace could become itself: until then its maker waits,
    /// and a frozen child never does.
    pub(super) fn may_spawn(&self, pid: Pid, child: &Child<'_>) -> bool {
        let fds = child.cgroup.iter().chain(child.tasks);
        fds.filter_map(|fd| self.open_of(pid, *fd).ok()).all(|open| match open.place().ino {
            Ino::Cgroup(cgroup) | Ino::CgroupFile(cgroup, _) => !self.is_freezing(cgroup),
            Ino::Nameless | Ino::Plain(_) | Ino::Proc(_) | Ino::Socket(_) | Ino::Space(_) => true,
        }) && self.task(pid).cgroups.iter().all(|cgroup| !self.is_freezing(*cgroup))
    }

    /// Returns the cgroup that a child is born in, or why it cannot be.
    fn birthplace(&self, pid: Pid, fd: Option<RawFd>) -> Result<Option<u32>, Errno> {
        let Some(fd) = fd else { return Ok(None) };
        let Ino::Cgroup(cgroup) = self.open_of(pid, fd)?.place().ino else {
            return Err(Errno::EBADF);
        };
        if self.is_dead(Ino::Cgroup(cgroup)) {
            // Not ENODEV; law a_birth_in_a_removed_cgroup_is_enoent.
            return Err(Errno::ENOENT);
        }
        self.may(pid, Ino::Cgroup(cgroup), 2)?;
        self.can_attach(cgroup)?;
        Ok(Some(cgroup))
    }

    /// Closes every descriptor of `pid` above 2 but those, which survive execve(2) from here on.
    fn keep_only(&mut self, pid: Pid, kept: &[RawFd]) {
        let mut fds = std::mem::take(&mut self.task_mut(pid).fds);
        let closed: Vec<(RawFd, Entry)> = fds
            .iter()
            .filter(|(fd, _)| **fd > 2 && !kept.contains(fd))
            .map(|(fd, entry)| (*fd, *entry))
            .collect();
        let table = Arc::make_mut(&mut fds);
        for (fd, _) in &closed {
            table.remove(fd);
        }
        for (_, entry) in table.iter_mut().filter(|(fd, _)| kept.contains(fd)) {
            entry.cloexec = false;
        }
        self.task_mut(pid).fds = fds;
        for (_, entry) in closed {
            self.release(entry.open);
        }
    }

    /// Makes the copy of itself that the program of `pid` asks for.
    pub(super) fn fork(&mut self, pid: Pid, kinds: u64) -> Answer {
        let Role::Program(running) = &self.task(pid).role else {
            super::parts::unmodelled("clone", "by a client");
        };
        let mut copy = running.clone();
        copy.cursor.at += 1;
        let made = self.copy_task(pid, Role::Program(copy), kinds)?;
        Ok(u64::from(self.number_in(self.task(pid).space(Kind::Pid), made)))
    }

    /// Returns whether the program of `pid` can take a turn.
    pub(super) fn can_turn(&self, pid: Pid) -> bool {
        let Role::Program(running) = &self.task(pid).role else { return false };
        match running.stage {
            Stage::Mapping => running.given.first().is_none_or(|fd| self.may_read(pid, *fd)),
            Stage::Going => self.peek(pid, running).enabled.get(),
        }
    }

    /// Looks at the next call of a program.
    fn peek(&self, pid: Pid, running: &Running) -> Peek<'_> {
        let (enabled, hasty) = (Cell::new(true), Cell::new(false));
        let peek = Peek { world: self, pid, enabled, hasty };
        let once = Once::new(peek, &running.answered);
        let mut cursor = running.cursor;
        let _: Turn = cursor.step(running.code.code(), &once);
        once.kernel
    }

    /// Returns whether the turn that the program of `pid` can take is nobody else's concern.
    fn is_turn_private(&self, pid: Pid) -> bool {
        struct Look<'w> {
            world: &'w World,
            pid: Pid,
            private: Cell<Option<bool>>,
        }
        impl Kernel for Look<'_> {
            fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
                self.private.set(Some(self.world.is_private(self.pid, &call)));
                Err(Errno::EIO)
            }
        }
        let Role::Program(running) = &self.task(pid).role else { return false };
        if running.stage == Stage::Mapping {
            return false;
        }
        let look = Look { world: self, pid, private: Cell::new(None) };
        let once = Once::new(look, &running.answered);
        let mut cursor = running.cursor;
        let turn = cursor.step(running.code.code(), &once);
        once.kernel.private.get().unwrap_or(turn == Turn::Going)
    }

    /// Returns whether the turn that the program of `pid` can take would be better taken later.
    pub(super) fn is_turn_hasty(&self, pid: Pid) -> bool {
        let Role::Program(running) = &self.task(pid).role else { return false };
        running.stage == Stage::Going && self.peek(pid, running).hasty.get()
    }

    /// Lets programs perform what is nobody else's concern: in whatever order that happens, and
    /// whatever happens in between, comes to the same.
    pub fn hurry(&mut self) {
        for pid in self.tasks.keys() {
            while self.is_alive(pid)
                && !self.is_halted(pid)
                && self.is_turn_private(pid)
                && self.can_turn(pid)
            {
                self.turn(pid);
            }
        }
    }

    /// Lets the program of `pid` take a turn.
    pub(super) fn turn(&mut self, pid: Pid) {
        let Role::Program(mut running) = self.task(pid).role.clone() else { return };
        match running.stage {
            Stage::Going => self.go(pid, &mut running),
            Stage::Mapping => self.map(pid, &mut running),
        }
        if let Some(task) = self.tasks.get_mut(pid)
            && task.life.is_alive()
            && let Role::Program(kept) = &mut task.role
        {
            *kept = running;
        }
    }

    fn go(&mut self, pid: Pid, running: &mut Running) {
        let code = Arc::clone(&running.code);
        let mut cursor = running.cursor;
        if !self.is_ready(pid, running) {
            return;
        }
        let direct = Direct { world: RefCell::new(self), pid };
        let once = Once::new(direct, &running.answered);
        let turn = cursor.step(code.code(), &once);
        if let Some(answered) = once.left() {
            running.answered.push(answered);
            return;
        }
        running.answered.clear();
        running.cursor = cursor;
        match turn {
            Turn::Ended { op, status } => {
                self.fail(pid, running, Report { kind: b'E', what: [op, status] });
            }
            Turn::Failed { op, errno } => {
                self.fail(pid, running, Report { kind: b'F', what: [op, errno.0] });
            }
            Turn::Going => (),
            Turn::Over => self.die(pid, 0),
        }
    }

    /// Returns whether the next call can be performed; if not, begins to wait for it.
    fn is_ready(&mut self, pid: Pid, running: &Running) -> bool {
        struct Begin<'w> {
            world: RefCell<&'w mut World>,
            pid: Pid,
            ready: Cell<bool>,
        }
        impl Kernel for Begin<'_> {
            fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
                let mut world = self.world.borrow_mut();
                self.ready.set(world.enabled(self.pid, &call));
                if !self.ready.get() {
                    world.begin_wait(self.pid, &call);
                }
                Err(Errno::EIO)
            }
        }
        let begin = Begin { world: RefCell::new(self), pid, ready: Cell::new(true) };
        let once = Once::new(begin, &running.answered);
        let mut cursor = running.cursor;
        let _: Turn = cursor.step(running.code.code(), &once);
        once.kernel.ready.get()
    }

    fn map(&mut self, pid: Pid, running: &mut Running) {
        let byte = [Cell::new(0)];
        let fd = running.given.first().copied().unwrap_or(-1);
        if self.perform(pid, &Call::Read { fd, buf: &byte }) != Ok(1) {
            self.die(pid, 1 << 8);
            return;
        }
        running.stage = Stage::Going;
        let (uid, gid) = (
            self.meant(pid, 0, super::creds::Id::User),
            self.meant(pid, 0, super::creds::Id::Group),
        );
        match (uid, gid) {
            (Ok(uid), Ok(gid)) => {
                let creds = &mut self.task_mut(pid).creds;
                creds.uid = uid;
                creds.gid = gid;
            }
            // No operation failed: the program has not begun.
            _ => {
                let what = [u16::MAX, Errno::EINVAL.0];
                self.fail(pid, running, Report { kind: b'F', what });
            }
        }
    }

    fn fail(&mut self, pid: Pid, running: &Running, report: Report) {
        let [op, number] = report.what.map(u16::to_le_bytes);
        let bytes = [report.kind, 0, op[0], op[1], number[0], number[1]];
        if let Some(fd) = running.given.first().copied()
            && self.may_write(pid, fd, bytes.len())
        {
            // The one who would read it may be gone, and then nobody wants to know.
            let _ = self.perform(pid, &Call::Write { fd, bytes: &bytes });
        }
        self.die(pid, 1 << 8);
    }

    /// Becomes the script of the file at `path`.
    pub(super) fn execve(&mut self, pid: Pid, path: &[u8], argv: Strings<'_>) -> Answer {
        let place = self.find(super::walk::Walk::new(pid, crate::sys::CWD, path))?;
        let kind = self.attributes(place.ino).kind();
        let barred = self.mount_flags(place) & flags::MS_NOEXEC != 0;
        if kind != flags::S_IFREG || barred {
            return Err(Errno::EACCES);
        }
        self.may(pid, place.ino, 1)?;
        let Ino::Plain(row) = place.ino else { return Err(Errno::EACCES) };
        let payload = self.inodes.get(row).and_then(|inode| inode.payload.clone());
        let payload = payload.ok_or(Errno::ENOEXEC)?;
        let closed: Vec<RawFd> =
            self.task(pid).fds.iter().filter(|(_, e)| e.cloexec).map(|(fd, _)| *fd).collect();
        for fd in closed {
            self.close(pid, fd)?;
        }
        let root = self.root_uid(pid);
        let task = self.task_mut(pid);
        task.creds.execute(root);
        task.labels.execute();
        task.traps.clear();
        task.exe = Some(place);
        task.argv = argv.0.into();
        task.role = Role::Script { payload, at: 0 };
        Ok(0)
    }
}

/// What a child says before it ends in failure.
#[derive(Clone, Copy)]
struct Report {
    /// `F` for an operation that failed, `E` for a child that ended badly.
    kind: u8,
    /// Which operation, and its errno or the child's status.
    what: [u16; 2],
}
