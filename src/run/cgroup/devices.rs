//! Which devices a container may use, as cgroup v1 spells it.
//!
//! The rules are the spec's, in order, over a beginning that denies everything, and behind them
//! what every container needs: making any node, and using the usual ones.

use crate::spec::{DeviceAccess, DeviceRule, DeviceRuleKind, Resources};
use crate::sys::{CWD, Kernel, Syscalls, flags};

use super::super::error::{Doing, Failure};

const fn usual(kind: DeviceRuleKind, major: Option<u32>, minor: Option<u32>) -> DeviceRule {
    let access = match major {
        None => DeviceAccess { mknod: true, read: false, write: false },
        Some(_) => DeviceAccess { mknod: true, read: true, write: true },
    };
    DeviceRule { allow: true, kind, major, minor, access }
}

/// What every container may do: null, zero, full, random, urandom, tty, pty, tun. The host's
/// console is not among it: a container's own is a pty.
const USUAL: [DeviceRule; 11] = [
    usual(DeviceRuleKind::Char, None, None),
    usual(DeviceRuleKind::Block, None, None),
    usual(DeviceRuleKind::Char, Some(1), Some(3)),
    usual(DeviceRuleKind::Char, Some(1), Some(5)),
    usual(DeviceRuleKind::Char, Some(1), Some(7)),
    usual(DeviceRuleKind::Char, Some(1), Some(8)),
    usual(DeviceRuleKind::Char, Some(1), Some(9)),
    usual(DeviceRuleKind::Char, Some(5), Some(0)),
    usual(DeviceRuleKind::Char, Some(5), Some(2)),
    usual(DeviceRuleKind::Char, Some(10), Some(200)),
    usual(DeviceRuleKind::Char, Some(136), None),
];

/// Returns the rules in force, each behind those that it overrides; the first denies everything.
pub(super) fn rules(resources: &Resources) -> Vec<DeviceRule> {
    let access = DeviceAccess { mknod: true, read: true, write: true };
    let nothing =
        DeviceRule { allow: false, kind: DeviceRuleKind::All, major: None, minor: None, access };
    let asked = &resources.devices;
    // Whatever stands before a rule for everything is overridden by it.
    let whole = |rule: &DeviceRule| {
        rule.kind == DeviceRuleKind::All
            && rule.access == access
            && (rule.major, rule.minor) == (None, None)
    };
    let from = asked.iter().rposition(whole).unwrap_or(0);
    let mut rules = vec![nothing];
    let rest = asked.get(from..).unwrap_or_default();
    rules.extend(rest.iter().filter(|rule| **rule != nothing));
    if rules.iter().any(|rule| rule.allow && whole(rule)) {
        return rules;
    }
    rules.extend(USUAL);
    rules
}

/// Writes the rules.
///
/// # Errors
///
/// Those of open(2) and write(2), with the rule.
pub(super) fn write_rules<K: Kernel>(
    kernel: &K,
    dir: &str,
    resources: &Resources,
) -> Result<(), Failure> {
    let open = |file: &str| {
        let path = format!("{dir}/{file}");
        let name = K::name(path.as_str());
        name.and_then(|name| kernel.open(CWD, &name, flags::O_WRONLY))
            .doing(|| format!("open {path}"))
    };
    let (deny, allow) = (open("devices.deny")?, open("devices.allow")?);
    for rule in rules(resources) {
        let file = if rule.allow { &allow } else { &deny };
        match kernel.write(file.raw(), spell(&rule).as_bytes()) {
            Ok(_) => (),
            Err(errno) => {
                let verb = if rule.allow { "allow" } else { "deny" };
                return Err(Failure::new(format!("{verb} device {}", spell(&rule)), errno));
            }
        }
    }
    Ok(())
}

fn spell(rule: &DeviceRule) -> String {
    let kind = match rule.kind {
        DeviceRuleKind::All => return "a".to_owned(),
        DeviceRuleKind::Block => 'b',
        DeviceRuleKind::Char => 'c',
    };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let access = [(rule.access.read, 'r'), (rule.access.write, 'w'), (rule.access.mknod, 'm')];
    let access: String =
        access.into_iter().filter_map(|(has, letter)| has.then_some(letter)).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_denied_first() {
        let rules = rules(&Resources::default());
        assert!(!rules[0].allow && rules[0].kind == DeviceRuleKind::All);
        assert_eq!(rules.len(), 1 + USUAL.len());
    }

    #[test]
    fn a_privileged_container_may_use_everything() {
        let access = DeviceAccess { mknod: true, read: true, write: true };
        let all =
            DeviceRule { allow: true, kind: DeviceRuleKind::All, major: None, minor: None, access };
        let deny = DeviceRule { allow: false, ..all };
        let resources = Resources { devices: vec![deny, all], ..Resources::default() };
        assert_eq!(rules(&resources), [deny, all]);
    }

    #[test]
    fn a_rule_is_spelled_as_the_kernel_reads_it() {
        let rule = usual(DeviceRuleKind::Char, Some(136), None);
        assert_eq!(spell(&rule), "c 136:* rwm");
        assert_eq!(spell(&usual(DeviceRuleKind::Block, None, None)), "b *:* m");
    }

    #[test]
    fn only_a_rule_for_every_access_to_every_device_overrides_all_before_it() {
        let access = DeviceAccess { mknod: true, read: true, write: true };
        let kind = DeviceRuleKind::All;
        let whole = DeviceRule { allow: true, kind, major: None, minor: None, access };
        let first = DeviceRule { major: Some(7), ..whole };
        let partial = [
            DeviceRule { kind: DeviceRuleKind::Char, ..whole },
            DeviceRule { major: Some(1), ..whole },
            DeviceRule { access: DeviceAccess { mknod: false, ..access }, ..whole },
        ];
        let with = |rule| rules(&Resources { devices: vec![first, rule], ..Resources::default() });
        for rule in partial {
            assert_eq!(with(rule)[1..3], [first, rule]);
            assert_eq!(with(rule)[3..], USUAL);
        }
        assert_eq!(with(whole)[1..], [whole]);
    }
}
