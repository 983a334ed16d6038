//! Which devices a container may use, as cgroup v2 has it: a program that the kernel asks.
//!
//! The kernel calls the program at each access with the device's type, the access and the number
//! (`struct bpf_cgroup_dev_ctx`). The last rule that fits decides, so the program asks them from
//! the last to the first.
//!
//! **Invariant:** pure: rules in, instructions out; the jumps all go forward and inside.

use crate::spec::{DeviceAccess, DeviceRule, DeviceRuleKind};

/// One instruction (`struct bpf_insn`).
type Instruction = [u8; 8];

/// Registers, as they are used here.
const ANSWER: u8 = 0;
const WORK: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Operations (the kernel's instruction set document, `Documentation/bpf/standardization`).
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const COPY: u8 = 0xbc;
const SET: u8 = 0xb7;
const UNLESS_EQUAL: u8 = 0x55;
const UNLESS_SAME: u8 = 0x5d;
const IF_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    let ([a, b], [c, d, e, f]) = (offset.to_le_bytes(), value.to_le_bytes());
    [code, to | from << 4, a, b, c, d, e, f]
}

/// Returns the program of some rules; what no rule allows is denied.
///
/// It ends at the first rule that fits everything: the kernel takes no program with code that is
/// never reached (law `a_program_with_code_that_is_not_reached_is_einval`).
pub(super) fn program(rules: &[DeviceRule]) -> Vec<u8> {
    let mut code = vec![
        instruction(LOAD_WORD, KIND, WORK, 0, 0),
        instruction(LOAD_WORD, ACCESS, WORK, 0, 0),
        instruction(LOAD_WORD, MAJOR, WORK, 4, 0),
        instruction(LOAD_WORD, MINOR, WORK, 8, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
    ];
    for rule in rules.iter().rev() {
        code.extend(one(rule));
        if fits_everything(rule) {
            return code.concat();
        }
    }
    code.extend(answer(false));
    code.concat()
}

fn fits_everything(rule: &DeviceRule) -> bool {
    let DeviceAccess { mknod, read, write } = rule.access;
    rule.kind == DeviceRuleKind::All
        && (rule.major, rule.minor) == (None, None)
        && (mknod && read && write)
}

/// Asks one rule; every test that fails jumps behind the rule.
fn one(rule: &DeviceRule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    match rule.kind {
        DeviceRuleKind::All => (),
        DeviceRuleKind::Block => tests.push(instruction(UNLESS_EQUAL, KIND, 0, 0, 1)),
        DeviceRuleKind::Char => tests.push(instruction(UNLESS_EQUAL, KIND, 0, 0, 2)),
    }
    let access = i32::from(rule.access.mknod)
        | i32::from(rule.access.read) << 1
        | i32::from(rule.access.write) << 2;
    if access != 7 {
        tests.push(instruction(COPY, WORK, ACCESS, 0, 0));
        tests.push(instruction(AND, WORK, 0, 0, access));
        // Allowed is what asks for no more than the rule; denied is what asks for any of it.
        tests.push(match rule.allow {
            true => instruction(UNLESS_SAME, WORK, ACCESS, 0, 0),
            false => instruction(IF_EQUAL, WORK, 0, 0, 0),
        });
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            tests.push(instruction(UNLESS_EQUAL, register, 0, 0, number.cast_signed()));
        }
    }
    let end = tests.len();
    for (index, test) in tests.iter_mut().enumerate() {
        if matches!(test[0], UNLESS_EQUAL | UNLESS_SAME | IF_EQUAL) {
            // Behind the tests that follow and the two instructions of the answer.
            let distance = i16::try_from(end - index - 1 + 2).unwrap_or(i16::MAX);
            [test[2], test[3]] = distance.to_le_bytes();
        }
    }
    tests.extend(answer(rule.allow));
    tests
}

fn answer(allow: bool) -> [Instruction; 2] {
    [instruction(SET, ANSWER, 0, 0, i32::from(allow)), instruction(EXIT, 0, 0, 0, 0)]
}

#[cfg(test)]
mod tests {
    use super::super::devices::rules;
    use super::*;
    use crate::spec::Resources;

    /// Runs a program as the kernel would, on one access.
    fn ask(program: &[u8], kind: u32, access: u32, device: (u32, u32)) -> bool {
        let context = [access << 16 | kind, device.0, device.1];
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let code = &program[at * 8..at * 8 + 8];
            let (to, from) = (usize::from(code[1] & 15), usize::from(code[1] >> 4));
            let offset = i16::from_le_bytes([code[2], code[3]]);
            let value = i32::from_le_bytes([code[4], code[5], code[6], code[7]]);
            let wide = u64::from(value.cast_unsigned());
            at += 1;
            let jump = match code[0] {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(offset).unwrap() / 4].into();
                    false
                }
                AND => {
                    registers[to] &= wide;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= wide;
                    false
                }
                COPY => {
                    registers[to] = registers[from];
                    false
                }
                SET => {
                    registers[to] = wide;
                    false
                }
                UNLESS_EQUAL => registers[to] != wide,
                UNLESS_SAME => registers[to] != registers[from],
                IF_EQUAL => registers[to] == wide,
                EXIT => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            };
            if jump {
                at += usize::try_from(offset).unwrap();
            }
        }
    }

    #[test]
    fn the_usual_devices_can_be_used_and_any_node_made() {
        let program = program(&rules(&Resources::default()));
        let (block, char, mknod, read_write) = (1, 2, 1, 6);
        assert!(ask(&program, char, read_write, (1, 3)), "null");
        assert!(ask(&program, char, read_write, (136, 7)), "a pty");
        assert!(ask(&program, block, mknod, (8, 0)), "making a disk's node");
        assert!(!ask(&program, block, 2, (8, 0)), "reading the disk");
        assert!(!ask(&program, char, read_write, (1, 1)), "memory");
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let access = DeviceAccess { mknod: true, read: true, write: true };
        let kind = DeviceRuleKind::Char;
        let allow = DeviceRule { allow: true, kind, major: Some(9), minor: None, access };
        let write = DeviceAccess { mknod: false, read: false, write: true };
        let deny = DeviceRule { allow: false, minor: Some(1), access: write, ..allow };
        let program = program(&[allow, deny]);
        assert!(ask(&program, 2, 2, (9, 1)), "reading is not denied");
        assert!(!ask(&program, 2, 6, (9, 1)), "writing is");
        assert!(ask(&program, 2, 6, (9, 2)));
    }

    #[test]
    fn a_program_goes_on_behind_a_rule_that_does_not_fit_everything() {
        let access = DeviceAccess { mknod: true, read: true, write: true };
        let kind = DeviceRuleKind::All;
        let whole = DeviceRule { allow: true, kind, major: None, minor: None, access };
        let partial = [
            DeviceRule { kind: DeviceRuleKind::Block, ..whole },
            DeviceRule { minor: Some(9), ..whole },
            DeviceRule { access: DeviceAccess { mknod: false, ..access }, ..whole },
            DeviceRule { access: DeviceAccess { read: false, ..access }, ..whole },
            DeviceRule { access: DeviceAccess { write: false, ..access }, ..whole },
        ];
        // A character device, all access to it: each rule says nothing of that, or not all.
        for rule in partial {
            assert!(!ask(&program(&[rule]), 2, 7, (1, 3)), "{rule:?}");
            assert!(ask(&program(&[whole, rule]), 2, 7, (1, 3)), "{rule:?}");
        }
        assert!(ask(&program(&[whole]), 2, 7, (1, 3)));
    }
}
