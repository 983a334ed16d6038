//! Makes a child that becomes the stub.
//!
//! ```text
//! caller ─ block signals ─ clone3 ╌╌ suspended ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┐ unblock ─ answer
//! child            on a stack of its own: tasks, fd flags, execveat ─┘
//! stub             unblock ─ close ─ [wait for id maps] ─ program
//! ```
//!
//! **Invariant:** the child shares the caller's memory only while the calling thread is suspended
//! (`CLONE_VFORK`), so all that it reads stays where it is. A child that is born into a frozen
//! cgroup suspends its maker until the cgroup thaws: whoever asks for that holds the lock under
//! which nobody freezes.

#![expect(unsafe_code, reason = "a child on a stack of its own")]

use super::born::{Birth, born};
use super::raw::{ask, door};
use super::{Linux, image};
use crate::sys::{Call, Child, Errno, Fd, RawFd, flags, number};
use core::arch::asm;
use core::cell::Cell;
use core::mem::{MaybeUninit, offset_of};
use core::sync::atomic::{AtomicU16, Ordering};

/// What clone3(2) takes, as far as it is asked here.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes the child and returns its pid.
pub(super) fn spawn(child: Child<'_>, pidfd: &[Cell<u8>]) -> Result<u64, Errno> {
    let room: &[Cell<u8>; 4] = pidfd.try_into().map_err(|_| Errno::EINVAL)?;
    let stub = image::write_image(&child)?;
    let birth = Birth {
        tasks: child.tasks,
        given: child.given,
        stub: stub.raw(),
        ambient: child.mapped,
        errno: AtomicU16::new(0),
    };
    let mut stack = Stack::new();
    let mut fd: RawFd = -1;
    let pid = {
        let args = clone_args(&child, &mut stack, &raw mut fd);
        let size = match child.cgroup {
            Some(_) => size_of::<CloneArgs>(),
            // Kernels before 5.7 know no cgroup here.
            None => offset_of!(CloneArgs, set_tid),
        };
        let _blocked = Blocked::new()?;
        clone(&args, size, &birth)?
    };
    let fd = Fd::new(fd, &Linux);
    match birth.errno.load(Ordering::Relaxed) {
        0 => {
            for (cell, byte) in room.iter().zip(fd.into_raw().to_le_bytes()) {
                cell.set(byte);
            }
            Ok(pid as u64)
        }
        errno => {
            reap(fd.raw());
            Err(Errno(errno))
        }
    }
}

fn clone_args(child: &Child<'_>, stack: &mut Stack, pidfd: *mut RawFd) -> CloneArgs {
    const SIGCHLD: u64 = flags::SIGCHLD as u64;
    let birth = flags::CLONE_VM | flags::CLONE_VFORK | flags::CLONE_PIDFD;
    let into = child.cgroup.map_or(0, |_| flags::CLONE_INTO_CGROUP);
    CloneArgs {
        flags: birth | into | child.namespaces,
        pidfd: pidfd.expose_provenance() as u64,
        exit_signal: SIGCHLD,
        stack: stack.low() as u64,
        stack_size: Stack::SIZE as u64,
        cgroup: child.cgroup.map_or(0, |fd| u64::from(fd.cast_unsigned())),
        ..CloneArgs::default()
    }
}

/// Makes the child, which goes on in [`born`].
fn clone(args: &CloneArgs, size: usize, birth: &Birth<'_>) -> Result<usize, Errno> {
    let answer: usize;
    // SAFETY: the child does not return: on its own empty stack it calls `born`, which touches that
    // stack and `birth` only. This thread is suspended meanwhile, so both stay alive. What the
    // child's registers lose is its own; here rax, rcx and r11 change.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call {born}",
            "ud2",
            "2:",
            born = sym born,
            inlateout("rax") number::CLONE3 => answer,
            in("rdi") core::ptr::from_ref(args),
            in("rsi") size,
            in("r12") core::ptr::from_ref(birth),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match u16::try_from(answer.wrapping_neg()) {
        Ok(errno @ 1..4096) => Err(Errno(errno)),
        Ok(_) | Err(_) => Ok(answer),
    }
}

/// Waits for a child that said why it did not become the stub.
fn reap(pidfd: RawFd) {
    let info = [const { Cell::new(0) }; 128];
    let call = Call::Waitid { fd: pidfd, info: &info[..], options: flags::WEXITED };
    while ask(&call) == Err(Errno::EINTR) {}
}

/// A stack for a child, in the frame of its suspended maker: what the child calls is a few small
/// functions, which a test of the deepest of them keeps far from the end.
#[derive(Debug)]
#[repr(C, align(16))]
struct Stack([MaybeUninit<u64>; Self::WORDS]);

impl Stack {
    const WORDS: usize = 2048;
    const SIZE: usize = Self::WORDS * size_of::<u64>();

    const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; Self::WORDS])
    }

    fn low(&mut self) -> usize {
        self.0.as_mut_ptr().expose_provenance()
    }
}

/// All signals blocked, those of the C library too: the child has the caller's handlers until it
/// executes the stub, and must run none of them.
#[derive(Debug)]
struct Blocked {
    before: u64,
}

impl Blocked {
    fn new() -> Result<Self, Errno> {
        let mut before = 0u64;
        Self::set(u64::MAX, &raw mut before)?;
        Ok(Self { before })
    }

    fn set(mask: u64, before: *mut u64) -> Result<(), Errno> {
        const SIG_SETMASK: usize = libc::SIG_SETMASK.cast_unsigned() as usize;
        let [mask, before] = [(&raw const mask).expose_provenance(), before.expose_provenance()];
        // SAFETY: the kernel reads eight bytes of one mask and writes those of the other, if any.
        unsafe { door(number::RT_SIGPROCMASK, [SIG_SETMASK, mask, before, 8, 0, 0]) }.map(drop)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let restored = Self::set(self.before, core::ptr::null_mut());
        debug_assert!(restored.is_ok(), "a mask that was in force is set again");
    }
}
