//! The stub: the freestanding program that a child of the Linux backend becomes.
//!
//! The program that its maker put behind it is a segment of its own file, which execve(2) maps. It
//! closes every descriptor that it was not given, and performs the program with the interpreter of
//! `sys` over raw system calls.
//!
//! **Invariant:** no allocator, no thread-local, no panic: a test of the library finds the panic
//! handler's words absent from the binary.
//!
//! **Invariant:** nothing of the maker's memory is here; its descriptors are gone before the first
//! operation.

#![no_std]
#![no_main]

#[path = "stub/image.rs"]
mod image;
#[path = "stub/mem.rs"]
mod mem;
#[path = "backend/linux/raw.rs"]
mod raw;
#[path = "sys/mod.rs"]
mod sys;

use core::arch::naked_asm;
use core::cell::Cell;
use core::ffi::CStr;
use core::panic::PanicInfo;
use core::slice;

use image::{Header, PLACE};
use raw::door;
use sys::{Call, Code, Cursor, Errno, Kernel, Live, Op, RawFd, Strings, Turn, flags, number};

/// The operation that a failure outside of every operation is reported as.
const NO_OP: u16 = u16::MAX;
/// The first descriptor that is not standard.
const FIRST: u32 = 3;

#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "call {start}",
        "ud2",
        start = sym start,
    )
}

/// Goes through the stub's whole life.
extern "C" fn start() -> ! {
    unblock();
    name();
    let Some(image) = Image::found() else { exit(2) };
    close_others(image.given);
    if image.mapped
        && let Err(errno) = become_root(image.given)
    {
        fail(image.given, b'F', [NO_OP, errno.0]);
    }
    perform(image)
}

fn perform(image: Image) -> ! {
    let mut cursor = Cursor::new(image.code, image.given);
    loop {
        match cursor.step(image.code, &Raw) {
            Turn::Ended { op, status } => fail(image.given, b'E', [op, status]),
            Turn::Failed { op, errno } => fail(image.given, b'F', [op, errno.0]),
            Turn::Going => (),
            Turn::Over => exit(0),
        }
    }
}

/// Reports to the maker in six bytes: what kind of failure, of which operation, and its number.
fn fail(given: &[RawFd], kind: u8, what: [u16; 2]) -> ! {
    let [[op_low, op_high], [low, high]] = what.map(u16::to_le_bytes);
    let bytes = &[kind, 0, op_low, op_high, low, high];
    if let Some(fd) = given.first() {
        let _ = Raw.call(Call::Write { fd: *fd, bytes });
    }
    exit(1)
}

fn exit(status: i32) -> ! {
    loop {
        let _ = Raw.call(Call::Exit { status });
    }
}

/// Takes the signals that the maker blocked around the clone.
fn unblock() {
    let none = 0u64;
    // SAFETY: SIG_SETMASK reads eight bytes and writes none.
    let _ = unsafe { door(number::RT_SIGPROCMASK, [2, &raw const none as usize, 0, 8, 0, 0]) };
}

/// Names the process, which execveat(2) called after a descriptor's number.
fn name() {
    const PR_SET_NAME: u32 = 15;
    let a = c"cofferdam".as_ptr() as u64;
    let _ = Raw.call(Call::Prctl { option: PR_SET_NAME, a, b: 0, c: 0, d: 0 });
}

/// The program as it was handed over.
struct Image {
    code: Code<'static>,
    given: &'static [RawFd],
    mapped: bool,
}

impl Image {
    /// Reads what the kernel has mapped with this program.
    fn found() -> Option<Self> {
        // SAFETY: the maker gives the file a segment there, which is sealed and never unmapped.
        let header = unsafe { &*(PLACE as *const Header) };
        if !header.sound() {
            return None;
        }
        let [ops, given, bytes] = [header.ops, header.given, header.bytes].map(|n| n as usize);
        let ops_at = PLACE.wrapping_add(size_of::<Header>());
        let given_at = ops_at.wrapping_add(ops.wrapping_mul(size_of::<Op>()));
        let bytes_at = given_at.wrapping_add(given.wrapping_mul(size_of::<RawFd>()));
        // SAFETY: a sound header counts the operations behind it, as this very build wrote them.
        let ops = unsafe { slice::from_raw_parts(ops_at as *const Op, ops) };
        // SAFETY: a sound header counts the descriptors behind the operations.
        let given = unsafe { slice::from_raw_parts(given_at as *const RawFd, given) };
        // SAFETY: a sound header counts the bytes behind the descriptors.
        let bytes = unsafe { slice::from_raw_parts(bytes_at as *const u8, bytes) };
        let code = Code { ops, bytes, given: u8::try_from(header.slots).unwrap_or(u8::MAX) };
        Some(Self { code, given, mapped: header.mapped != 0 })
    }
}

/// Closes every descriptor but the standard ones and the given ones.
fn close_others(given: &[RawFd]) {
    let mut next = FIRST;
    loop {
        let kept = given.iter().filter_map(|fd| u32::try_from(*fd).ok());
        let Some(kept) = kept.filter(|fd| *fd >= next).min() else { break };
        if let Some(last) = kept.checked_sub(1).filter(|last| *last >= next) {
            close_from(next, last);
        }
        next = kept.wrapping_add(1);
    }
    close_from(next, u32::MAX);
}

fn close_from(first: u32, last: u32) {
    if Raw.call(Call::CloseRange { first, last, flags: 0 }) != Err(Errno::ENOSYS) {
        return;
    }
    // Kernels before 5.9 close one by one, up to where descriptors can be.
    for fd in first..=last.min(limit()) {
        let _ = Raw.call(Call::Close { fd: fd.cast_signed() });
    }
}

fn limit() -> u32 {
    const RLIMIT_NOFILE: usize = 7;
    const MOST: u32 = 1 << 20;
    let mut limit = [0u64; 2];
    let at = &raw mut limit as usize;
    // SAFETY: prlimit writes two words.
    let answer = unsafe { door(number::PRLIMIT64, [0, RLIMIT_NOFILE, 0, at, 0, 0]) };
    let [_, hard] = limit;
    answer.map_or(MOST, |_| u32::try_from(hard).unwrap_or(MOST).min(MOST))
}

/// Waits until the maker has written the id maps, and becomes id 0 of the user namespace.
///
/// The capabilities came across execve(2) as ambient ones, since the stub had no id then; now they
/// are those of the namespace's root, like those of any other child.
fn become_root(given: &[RawFd]) -> Result<(), Errno> {
    let fd = *given.first().ok_or(Errno::EBADF)?;
    let byte = [Cell::new(0)];
    loop {
        match Raw.call(Call::Read { fd, buf: &byte }) {
            Ok(0) => exit(1),
            Ok(_) => break,
            Err(Errno::EINTR) => (),
            Err(_) => exit(1),
        }
    }
    Raw.call(Call::Setresgid { gid: 0 })?;
    Raw.call(Call::Setresuid { uid: 0 })?;
    let (option, a) = (flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_CLEAR_ALL);
    Raw.call(Call::Prctl { option, a, b: 0, c: 0, d: 0 })?;
    let all = u64::MAX;
    Raw.call(Call::Capset { effective: all, permitted: all, inheritable: 0 })?;
    Ok(())
}

/// The kernel that this process runs on.
struct Raw;

impl Kernel for Raw {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        match call {
            Call::Execve { path, argv, envp } => Err(execve(path, argv, envp)),
            call => raw::ask(&call),
        }
    }
}

/// Becomes another program, or says why not.
fn execve(path: &CStr, argv: Strings<'_>, envp: Strings<'_>) -> Errno {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let strings = argv.iter().count().saturating_add(envp.iter().count());
    let pointers = strings.saturating_add(2);
    let mut few = [0; 128];
    if let Some(words) = few.get_mut(..pointers) {
        return execve_with(words, path, argv, envp);
    }
    let size = pointers.saturating_mul(size_of::<usize>());
    let map = [0, size, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0];
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = match unsafe { door(number::MMAP, map) } {
        Ok(at) => at,
        Err(errno) => return errno,
    };
    // SAFETY: the mapping is that large and zeroed, and nobody else knows it.
    let words = unsafe { slice::from_raw_parts_mut(at as *mut usize, pointers) };
    execve_with(words, path, argv, envp)
}

/// Lists the strings in zeroed words, a null behind each list, and calls execve(2).
fn execve_with(
    words: &mut [usize],
    path: &CStr,
    argv: Strings<'_>,
    envp: Strings<'_>,
) -> Errno {
    let arguments = argv.iter().count().saturating_add(1);
    for (word, string) in words.iter_mut().zip(argv.iter()) {
        *word = string.as_ptr() as usize;
    }
    for (word, string) in words.iter_mut().skip(arguments).zip(envp.iter()) {
        *word = string.as_ptr() as usize;
    }
    let at = words.as_ptr() as usize;
    let envp_at = at.wrapping_add(arguments.saturating_mul(size_of::<usize>()));
    let words = [path.as_ptr() as usize, at, envp_at, 0, 0, 0];
    // SAFETY: each list ends in a null word, and each string, in the image, in a null byte.
    match unsafe { door(number::EXECVE, words) } {
        Ok(_) => Errno::EFAULT,
        Err(errno) => errno,
    }
}

/// Never linked in: a test looks for its words in the binary.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    let _ = Raw.call(Call::Write { fd: 2, bytes: b"cofferdam: the stub panicked\n" });
    exit(3)
}
