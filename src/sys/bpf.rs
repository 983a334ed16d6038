//! Performs a system call filter on one call: the subset of classic BPF that seccomp(2) takes.
//!
//! ```
//! use cofferdam::sys::bpf::{Asked, verdict};
//!
//! // The number of the call is loaded; 39 is answered with EPERM, anything else goes through.
//! let filter = [
//!     [0x20, 0, 0, 0, 0, 0, 0, 0],
//!     [0x15, 0, 0, 1, 39, 0, 0, 0],
//!     [0x06, 0, 0, 0, 1, 0, 5, 0],
//!     [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f],
//! ];
//! let asked = |number| Asked { number, machine: 0xc000_003e, words: [0; 6] };
//! assert_eq!(verdict(filter.as_flattened(), &asked(39)), Some(0x0005_0001));
//! assert_eq!(verdict(filter.as_flattened(), &asked(40)), Some(0x7fff_0000));
//! assert_eq!(verdict(&filter[..1].concat(), &asked(40)), None);
//! ```
//!
//! **Invariant:** jumps go forward only, so every filter ends.

/// What a filter is shown: `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The number of the call.
    pub number: u32,
    /// The machine (`AUDIT_ARCH_*`).
    pub machine: u32,
    /// The words.
    pub words: [u64; 6],
}

/// One instruction: `struct sock_filter`.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) code: u16,
    pub(crate) yes: u8,
    pub(crate) no: u8,
    pub(crate) k: u32,
}

/// The registers.
#[derive(Clone, Copy, Default)]
struct Machine {
    a: u32,
    x: u32,
    cells: [u32; 16],
}

/// Returns the filter's verdict, or `None` for a filter that the kernel would not take.
#[must_use]
pub fn verdict(filter: &[u8], asked: &Asked) -> Option<u32> {
    let mut machine = Machine::default();
    let mut at = 0usize;
    loop {
        let step = Step::decode(filter.get(at * 8..at * 8 + 8)?)?;
        at += 1;
        match step.code & 7 {
            0 => machine.a = machine.load(step, asked)?,
            1 => machine.x = machine.load(step, asked)?,
            2 => *machine.cells.get_mut(step.k as usize)? = machine.a,
            3 => *machine.cells.get_mut(step.k as usize)? = machine.x,
            4 => machine.a = machine.compute(step)?,
            5 => at += machine.jump(step)?,
            6 => return Some(if step.code & 0x18 == 0x10 { machine.a } else { step.k }),
            _ if step.code & 0x80 == 0 => machine.x = machine.a,
            _ => machine.a = machine.x,
        }
    }
}

impl Step {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let [a, b, yes, no, k @ ..] = *bytes.first_chunk::<8>()?;
        Some(Self { code: u16::from_le_bytes([a, b]), yes, no, k: u32::from_le_bytes(k) })
    }
}

impl Machine {
    fn load(&self, step: Step, asked: &Asked) -> Option<u32> {
        match step.code & 0xe0 {
            0x00 => Some(step.k),
            0x20 => asked.word(step.k),
            0x60 => self.cells.get(step.k as usize).copied(),
            // The length of `struct seccomp_data`.
            0x80 => Some(64),
            _ => None,
        }
    }

    fn compute(&self, step: Step) -> Option<u32> {
        let (a, b) = (self.a, self.operand(step));
        match step.code & 0xf0 {
            0x00 => Some(a.wrapping_add(b)),
            0x10 => Some(a.wrapping_sub(b)),
            0x20 => Some(a.wrapping_mul(b)),
            0x30 => a.checked_div(b),
            0x40 => Some(a | b),
            0x50 => Some(a & b),
            0x60 => Some(a.wrapping_shl(b)),
            0x70 => Some(a.wrapping_shr(b)),
            0x80 => Some(a.wrapping_neg()),
            0xa0 => Some(a ^ b),
            _ => None,
        }
    }

    fn jump(&self, step: Step) -> Option<usize> {
        let (a, b) = (self.a, self.operand(step));
        let taken = match step.code & 0xf0 {
            0x00 => return Some(step.k as usize),
            0x10 => a == b,
            0x20 => b < a,
            0x30 => b <= a,
            0x40 => a & b != 0,
            _ => return None,
        };
        Some(usize::from(if taken { step.yes } else { step.no }))
    }

    const fn operand(&self, step: Step) -> u32 {
        if step.code & 8 == 0 { step.k } else { self.x }
    }
}

impl Asked {
    /// Returns the four bytes at an offset; the instruction pointer reads as 0.
    fn word(&self, at: u32) -> Option<u32> {
        let at = usize::try_from(at).ok()?;
        match at {
            0 => Some(self.number),
            4 => Some(self.machine),
            8 | 12 => Some(0),
            _ if at % 4 == 0 => {
                let word = self.words.get((at - 16) / 8)?;
                u32::try_from(if at % 8 == 0 { word & 0xffff_ffff } else { word >> 32 }).ok()
            }
            _ => None,
        }
    }
}
