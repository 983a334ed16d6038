//! Every call, to the one who performs it.

use super::open::How;
use super::spaces::Called;
use super::tree::{Change, Mounting};
use super::walk::Walk;
use super::{Answer, Pid, World};
use crate::sys::{CWD, Call, Errno, Live};

/// Who performs a call.
enum Door {
    Descriptor,
    Mount,
    Name,
    Process,
    Right,
    Talk,
}

/// Returns who performs a call: a new call has to be put somewhere.
#[rustfmt::skip]
const fn door(call: &Call<Live<'_>>) -> Door {
    match call {
        Call::Await { .. } | Call::Close { .. } | Call::CloseRange { .. } | Call::Dup3 { .. }
        | Call::Fcntl { .. } | Call::Flock { .. } | Call::Ftruncate { .. } | Call::Getdents64 { .. }
        | Call::Ioctl { .. } | Call::IoctlIn { .. } | Call::Lseek { .. } | Call::MemfdCreate { .. }
        | Call::Pipe2 { .. } | Call::Poll { .. } | Call::Read { .. }
        | Call::Write { .. } => Door::Descriptor,
        Call::Chroot { .. } | Call::Mount { .. } | Call::MountSetattr { .. }
        | Call::MoveMount { .. } | Call::OpenTree { .. } | Call::PivotRoot { .. }
        | Call::Umount2 { .. } => Door::Mount,
        Call::Chdir { .. } | Call::Faccessat2 { .. } | Call::Fchdir { .. }
        | Call::Fchmod { .. } | Call::Fchmodat { .. } | Call::Fchownat { .. } | Call::Fstatfs { .. }
        | Call::Mkdirat { .. } | Call::Mknodat { .. } | Call::Openat2 { .. }
        | Call::Readlinkat { .. } | Call::Renameat2 { .. } | Call::Statx { .. }
        | Call::Symlinkat { .. } | Call::Umask { .. } | Call::Unlinkat { .. } => Door::Name,
        Call::ClockGettime { .. } | Call::Execve { .. } | Call::Exit { .. }
        | Call::Fork { .. } | Call::Getpid {} | Call::Kill { .. } | Call::PidfdOpen { .. }
        | Call::PidfdSendSignal { .. } | Call::Setsid {} | Call::SignalDefault { .. }
        | Call::Spawn { .. } | Call::Wait4 { .. } | Call::Waitid { .. } => Door::Process,
        Call::BpfAttach { .. } | Call::BpfLoad { .. }
        | Call::Capset { .. } | Call::Geteuid {} | Call::Prctl { .. } | Call::Prlimit { .. }
        | Call::Seccomp { .. } | Call::Setdomainname { .. } | Call::Setgroups { .. }
        | Call::Sethostname { .. } | Call::Setns { .. } | Call::Setresgid { .. }
        | Call::Setresuid { .. } | Call::Unshare { .. } => Door::Right,
        Call::Accept { .. } | Call::Connect { .. } | Call::RecvFd { .. }
        | Call::Send { .. } | Call::SendFd { .. } | Call::Socket { .. }
        | Call::Socketpair { .. } => Door::Talk,
    }
}

impl World {
    /// Performs a call of `pid`, which has to be enabled.
    ///
    /// # Panics
    ///
    /// Panics where it is not, and where it is not modelled.
    pub(super) fn perform(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        let row = call.row();
        assert!(
            self.enabled(pid, call),
            "would block: {} of process {pid}",
            super::parts::summary(call)
        );
        if !self.tasks.get(pid).is_some_and(|task| task.life.is_alive()) {
            panic!("process {pid} is dead and calls {}", super::parts::summary(call));
        }
        if self.profile.missing.contains(row.name) {
            return Err(Errno::ENOSYS);
        }
        match door(call) {
            Door::Descriptor => self.descriptor_call(pid, call),
            Door::Mount => self.mount_call(pid, call),
            Door::Name => self.name_call(pid, call),
            Door::Process => self.process_call(pid, call),
            Door::Right => self.right_call(pid, call),
            Door::Talk => self.talk_call(pid, call),
        }
    }

    fn descriptor_call(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        match *call {
            Call::Await { fd, events, timeout_ms } => {
                self.poll(pid, &super::poll::one(fd, events), timeout_ms)
            }
            Call::Close { fd } => self.close(pid, fd),
            Call::CloseRange { first, last, flags } => self.close_range(pid, [first, last], flags),
            Call::Dup3 { old, new, flags } => self.dup3(pid, [old, new], flags),
            Call::Fcntl { fd, command, argument } => self.fcntl(pid, fd, (command, argument)),
            Call::Flock { fd, operation } => self.flock(pid, fd, operation),
            Call::Ftruncate { fd, length } => self.ftruncate(pid, fd, length),
            Call::Getdents64 { fd, buf } => self.getdents(pid, fd, buf),
            // The loopback interface comes up; nothing else here is a terminal or an interface.
            Call::IoctlIn { fd, request: crate::sys::flags::SIOCSIFFLAGS, .. } => {
                self.open_of(pid, fd)?;
                self.socket_of(pid, fd).map(|_| 0).map_err(|_| Errno::ENOTTY)
            }
            Call::Ioctl { fd, .. } | Call::IoctlIn { fd, .. } => {
                self.open_of(pid, fd).and(Err(Errno::ENOTTY))
            }
            Call::Lseek { fd, offset, whence } => self.lseek(pid, fd, (offset, whence)),
            Call::MemfdCreate { flags, .. } => self.memfd(pid, flags),
            Call::Pipe2 { ends, flags } => self.pipe(pid, flags, ends),
            Call::Poll { fds, timeout_ms } => self.poll(pid, fds, timeout_ms),
            Call::Read { fd, buf } => self.read(pid, fd, buf),
            Call::Write { fd, bytes } => self.write(pid, fd, bytes),
            _ => elsewhere(call),
        }
    }

    fn mount_call(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        match *call {
            Call::Chroot { path } => self.chroot(pid, path.to_bytes()),
            Call::Mount { source, target, kind, flags, data } => {
                let [source, kind, data] = [source, kind, data].map(std::ffi::CStr::to_bytes);
                self.mount(pid, target.to_bytes(), Mounting { source, kind, flags, data })
            }
            Call::MountSetattr { dir, path, flags, set, clear, propagation } => {
                let change = Change { set, clear, propagation };
                self.mount_setattr(pid, (dir, path.to_bytes(), flags), change)
            }
            Call::MoveMount { from_dir, from_path, to_dir, to_path, flags } => {
                let ends = [(from_dir, from_path.to_bytes()), (to_dir, to_path.to_bytes())];
                self.move_mount(pid, ends, flags)
            }
            Call::OpenTree { dir, path, flags } => {
                self.open_tree(pid, (dir, path.to_bytes()), flags)
            }
            Call::PivotRoot { new_root, put_old } => {
                self.pivot_root(pid, new_root.to_bytes(), put_old.to_bytes())
            }
            Call::Umount2 { target, flags } => self.umount2(pid, target.to_bytes(), flags),
            _ => elsewhere(call),
        }
    }

    fn name_call(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        match *call {
            Call::Chdir { path } => {
                let place = self.find(Walk::new(pid, CWD, path.to_bytes()))?;
                self.change_directory(pid, place)
            }
            Call::Faccessat2 { dir, path, mode, flags } => {
                self.faccessat2(pid, (dir, path.to_bytes()), [mode, flags])
            }
            Call::Fchdir { fd } => {
                let place = self.open_of(pid, fd)?.place();
                self.change_directory(pid, place)
            }
            Call::Fchmod { fd, mode } => {
                let open = self.open_of(pid, fd)?;
                if open.has(crate::sys::flags::O_PATH) {
                    return Err(Errno::EBADF);
                }
                let place = open.place();
                self.chmod(pid, place, mode)
            }
            Call::Fchmodat { dir, path, mode } => {
                let place = self.find(Walk::new(pid, dir, path.to_bytes()))?;
                self.chmod(pid, place, mode)
            }
            Call::Fchownat { dir, path, uid, gid, flags } => {
                let place = self.find_at(Walk::new(pid, dir, path.to_bytes()), flags)?;
                self.chown(pid, place, [uid, gid])
            }
            Call::Fstatfs { fd, buf } => self.fstatfs(pid, fd, buf),
            Call::Mkdirat { dir, path, mode } => self.mkdirat(pid, (dir, path.to_bytes()), mode),
            Call::Mknodat { dir, path, mode, device } => {
                self.mknodat(pid, (dir, path.to_bytes()), (mode, device))
            }
            Call::Openat2 { dir, path, flags, mode, resolve } => {
                self.openat2(pid, (dir, path.to_bytes()), How { flags, mode, resolve })
            }
            Call::Readlinkat { dir, path, buf } => {
                self.readlinkat(pid, (dir, path.to_bytes()), buf)
            }
            Call::Renameat2 { from_dir, from, to_dir, to, flags } => {
                let ends = [(from_dir, from.to_bytes()), (to_dir, to.to_bytes())];
                self.renameat2(pid, ends, flags)
            }
            Call::Statx { dir, path, flags, buf, .. } => {
                self.statx(pid, (dir, path.to_bytes()), flags, buf)
            }
            Call::Symlinkat { target, dir, path } => {
                self.symlinkat(pid, target.to_bytes(), (dir, path.to_bytes()))
            }
            Call::Umask { mask } => {
                let task = self.task_mut(pid);
                Ok(u64::from(std::mem::replace(&mut task.umask, mask & 0o777)))
            }
            Call::Unlinkat { dir, path, flags } => {
                self.unlinkat(pid, (dir, path.to_bytes()), flags)
            }
            _ => elsewhere(call),
        }
    }

    fn process_call(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        match *call {
            Call::ClockGettime { clock, time } => {
                if clock > 11 {
                    return Err(Errno::EINVAL);
                }
                let seconds = self.now_ms / 1000;
                let nanoseconds = self.now_ms % 1000 * 1_000_000;
                super::parts::fill(time, &seconds.to_le_bytes());
                let rest = time.get(8..).unwrap_or_default();
                super::parts::fill(rest, &nanoseconds.to_le_bytes());
                Ok(0)
            }
            Call::Execve { path, argv, .. } => self.execve(pid, path.to_bytes(), argv),
            Call::Exit { status } => {
                self.die(pid, (status.cast_unsigned() & 0xff) << 8);
                Ok(0)
            }
            Call::Fork { flags } => self.fork(pid, flags),
            Call::Getpid {} => Ok(u64::from(self.task(pid).inner)),
            Call::Kill { pid: number, signal } => self.kill(pid, number, signal),
            Call::PidfdOpen { pid: number, .. } => self.pidfd_open(pid, number),
            Call::PidfdSendSignal { fd, signal } => self.pidfd_send_signal(pid, fd, signal),
            Call::Setsid {} => {
                if self.task(pid).session == pid {
                    return Err(Errno::EPERM);
                }
                self.task_mut(pid).session = pid;
                Ok(u64::from(self.task(pid).inner))
            }
            Call::SignalDefault { signal } => super::signals::signal_default(signal),
            Call::Spawn { child, pidfd } => self.spawn(pid, child, pidfd),
            Call::Wait4 { pid: number, status, .. } => self.wait4(pid, number, status),
            Call::Waitid { fd, info, options } => self.waitid(pid, fd, (options, info)),
            _ => elsewhere(call),
        }
    }

    fn right_call(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        match *call {
            Call::BpfAttach { cgroup, program } => {
                self.open_of(pid, cgroup)?;
                self.open_of(pid, program).map(|_| 0)
            }
            // What a program says is not modelled: it is a file that nobody reads.
            Call::BpfLoad { program } => {
                super::devices::verify(program)?;
                self.memfd(pid, crate::sys::flags::MFD_CLOEXEC)
            }
            Call::Capset { effective, permitted, inheritable } => {
                self.capset(pid, [effective, permitted, inheritable])
            }
            Call::Geteuid {} => Ok(u64::from(self.seen_uid(pid, self.task(pid).creds.uid))),
            Call::Prctl { option, a, b, c, d } => self.prctl(pid, option, [a, b, c, d]),
            Call::Prlimit { pid: number, resource, soft, hard } => {
                let target = if number == 0 { Some(pid) } else { self.numbered(pid, number) };
                self.prlimit(target.ok_or(Errno::ESRCH)?, resource, [soft, hard])
            }
            Call::Seccomp { filter, .. } => self.seccomp(pid, filter),
            Call::Setdomainname { name } => self.set_name(pid, name, Called::Domain),
            Call::Setgroups { groups } => self.setgroups(pid, groups),
            Call::Sethostname { name } => self.set_name(pid, name, Called::Host),
            Call::Setns { fd, kinds } => self.setns(pid, fd, kinds),
            Call::Setresgid { gid } => self.setresgid(pid, gid),
            Call::Setresuid { uid } => self.setresuid(pid, uid),
            Call::Unshare { kinds } => self.unshare(pid, kinds),
            _ => elsewhere(call),
        }
    }

    fn talk_call(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        match *call {
            // Nobody can listen: there is no bind(2) among the calls.
            Call::Accept { .. } => {
                super::parts::unmodelled("accept4", &super::parts::summary(call));
            }
            Call::Connect { fd, address } => self.connect(pid, fd, address),
            Call::RecvFd { socket, buf } => self.recv_fd(pid, socket, buf),
            Call::Send { socket, bytes } => {
                let row = self.socket_of(pid, socket)?;
                self.send_message(row, bytes, None)
            }
            Call::SendFd { socket, bytes, fd } => self.send_fd(pid, socket, (bytes, fd)),
            Call::Socket { domain, kind, .. } => self.socket(pid, domain, kind),
            Call::Socketpair { domain, kind, ends } => self.socketpair(pid, [domain, kind], ends),
            _ => elsewhere(call),
        }
    }
}

fn elsewhere(call: &Call<Live<'_>>) -> ! {
    unreachable!("{} goes through another door", call.row().name)
}
