//! The stub's file with the program of one child in it.
//!
//! ```text
//! ELF header | the stub as linked | segments and one more | zeros | Header, ops, given, bytes
//!     └───────────────────────────────▲          └──────────────────▲
//! ```
//!
//! The kernel maps the program along with the stub, so handing it over costs the child nothing.
//!
//! **Invariant:** what is executed is what this module wrote: a sealed file or, where
//! `vm.memfd_noexec` forbids that, one without a name. For a container that holds on to the stub it
//! was born from can write to what is not sealed.

use core::ffi::CStr;
use std::ffi::CString;

use super::Linux;
use super::layout::{Header, PLACE};
use super::memfd::{Run, create, own, seal, write};
use super::raw::ask;
use crate::sys::{CWD, Call, Child, Errno, Fd, flags};

/// The program that `src/stub.rs` is compiled to.
static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));

/// What the kernel maps by pages of.
const PAGE: usize = 4096;
/// How long an `Elf64_Ehdr` is; elf(5).
const HEAD: usize = 64;
/// Where it says where the segments are described: `e_phoff`.
const SEGMENTS_AT: usize = 32;
/// Where it says how many there are: `e_phnum`.
const SEGMENTS: usize = 56;
/// How many the stub was linked with.
const LINKED: usize = STUB[SEGMENTS] as usize;
/// Where the program begins: behind the stub, and the table of its segments.
const PROGRAM: usize = (STUB.len() + (LINKED + 1) * size_of::<Segment>()).next_multiple_of(PAGE);

/// An `Elf64_Phdr`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    virtual_address: u64,
    physical_address: u64,
    size_in_file: u64,
    size_in_memory: u64,
    alignment: u64,
}

impl Segment {
    /// Maps a program of that size to be read.
    const fn program(size: usize) -> Self {
        const PT_LOAD: u32 = 1;
        const PF_R: u32 = 4;
        Self {
            kind: PT_LOAD,
            flags: PF_R,
            offset: PROGRAM as u64,
            virtual_address: PLACE as u64,
            physical_address: PLACE as u64,
            size_in_file: size as u64,
            size_in_memory: size as u64,
            alignment: PAGE as u64,
        }
    }
}

/// Where a file without a name may be executed from, if one in memory may not.
const PLACES: [&CStr; 4] = [c"/run", c"/dev/shm", c"/tmp", c"/var/tmp"];
const O_TMPFILE: u64 = 0o20_000_000 | flags::O_DIRECTORY;

/// Writes a file that does what `child` does when it is executed.
pub(super) fn write_image(child: &Child<'_>) -> Result<Fd<'static, Linux>, Errno> {
    let short = |len: usize| u32::try_from(len).map_err(|_| Errno::E2BIG);
    let mut given = child.given.to_vec();
    given.resize(given.len().next_multiple_of(2), -1);
    let (ops, bytes) = (child.code.ops, child.code.bytes);
    let mut header = Header::new();
    header.ops = short(ops.len())?;
    header.given = short(given.len())?;
    header.slots = u32::from(child.code.given);
    header.bytes = short(bytes.len())?;
    header.mapped = u32::from(child.mapped);
    let size = size_of::<Header>() + size_of_val(ops) + size_of_val(&given[..]) + bytes.len();
    let (stub, linked) = (&STUB[HEAD..], &STUB[HEAD..][..LINKED * size_of::<Segment>()]);
    let zeros = [0_u8; PAGE];
    let zeros = &zeros[..PROGRAM - STUB.len() - linked.len() - size_of::<Segment>()];
    executable(&[
        Run::of(&head()),
        Run::of(stub),
        Run::of(linked),
        Run::of(&[Segment::program(size)]),
        Run::of(zeros),
        Run::of(&[header]),
        Run::of(ops),
        Run::of(&given),
        Run::of(bytes),
    ])
}

/// Returns the ELF header, with one segment more, and all of them described behind the stub.
fn head() -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head.copy_from_slice(&STUB[..HEAD]);
    head[SEGMENTS_AT..][..8].copy_from_slice(&(STUB.len() as u64).to_le_bytes());
    head[SEGMENTS] += 1;
    head
}

/// Writes runs to a file that nobody can change any more and that can be executed.
fn executable(runs: &[Run<'_>]) -> Result<Fd<'static, Linux>, Errno> {
    match create(c"cofferdam-stub") {
        Ok(fd) => {
            write(fd.raw(), runs)?;
            seal(fd.raw())?;
            Ok(fd)
        }
        // EACCES: `vm.memfd_noexec` is 2; sysctl documentation, admin-guide/sysctl/vm.
        Err(Errno::EACCES) => unnamed(runs),
        Err(errno) => Err(errno),
    }
}

/// Writes runs to a file on disk that has no name.
fn unnamed(runs: &[Run<'_>]) -> Result<Fd<'static, Linux>, Errno> {
    let mut errno = Errno::EACCES;
    for place in PLACES {
        match unnamed_at(place, runs) {
            Ok(fd) => return Ok(fd),
            Err(why) => errno = why,
        }
    }
    Err(errno)
}

fn unnamed_at(place: &CStr, runs: &[Run<'_>]) -> Result<Fd<'static, Linux>, Errno> {
    let flags = O_TMPFILE | flags::O_RDWR | flags::O_CLOEXEC;
    let file = own(ask(&Call::Openat2 { dir: CWD, path: place, flags, mode: 0o555, resolve: 0 })?)?;
    write(file.raw(), runs)?;
    // ETXTBSY: what is open for writing is not executed, so it is opened again, to be read.
    let name = CString::new(format!("/proc/self/fd/{}", file.raw())).map_err(|_| Errno::EINVAL)?;
    let (path, flags) = (&*name, flags::O_RDONLY | flags::O_CLOEXEC);
    let stub = own(ask(&Call::Openat2 { dir: CWD, path, flags, mode: 0, resolve: 0 })?)?;
    drop(file);
    let (mode, flags) = (flags::X_OK, flags::AT_EMPTY_PATH);
    // EACCES: the place is mounted noexec.
    ask(&Call::Faccessat2 { dir: stub.raw(), path: c"", mode, flags })?;
    Ok(stub)
}

#[cfg(test)]
mod tests {
    use super::STUB;

    fn holds(words: &[u8]) -> bool {
        STUB.windows(words.len()).any(|window| window == words)
    }

    #[test]
    fn the_stub_cannot_panic() {
        assert!(!holds(b"the stub panicked"), "the panic handler is linked in");
        assert!(holds(b"cofferdam\0"), "the words would be found");
    }

    #[test]
    fn the_stub_is_small() {
        assert!(STUB.len() < 22_000, "{} bytes", STUB.len());
    }
}
