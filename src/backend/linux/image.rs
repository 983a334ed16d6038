//! Writes the program of a child into a sealed memfd, as the stub maps it.

use super::Linux;
use super::layout::Header;
use super::memfd::{Purpose, Run, create, seal, write};
use crate::sys::{Child, Errno, Fd};

/// A program to be handed over.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) fd: Fd<'static, Linux>,
    pub(super) size: usize,
}

/// Writes what `child` does.
pub(super) fn write_image(child: &Child<'_>) -> Result<Image, Errno> {
    let short = |len: usize| u32::try_from(len).map_err(|_| Errno::E2BIG);
    let mut given = child.given.to_vec();
    given.resize(given.len().next_multiple_of(2), -1);
    let mut header = Header::new();
    header.ops = short(child.code.ops.len())?;
    header.given = short(given.len())?;
    header.slots = u32::from(child.code.given);
    header.bytes = short(child.code.bytes.len())?;
    header.mapped = u32::from(child.mapped);
    let size = size_of::<Header>()
        + size_of_val(child.code.ops)
        + size_of_val(&given[..])
        + child.code.bytes.len();
    let fd = create(c"cofferdam-program", Purpose::Read)?;
    let header = [header];
    let (ops, bytes) = (child.code.ops, child.code.bytes);
    write(fd.raw(), &[Run::of(&header), Run::of(ops), Run::of(&given), Run::of(bytes)])?;
    seal(fd.raw())?;
    Ok(Image { fd, size })
}
