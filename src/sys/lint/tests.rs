//! Each rule of the lint, broken by a program of its own.

use crate::sys::flags::{O_CLOEXEC, O_PATH, PR_SET_NO_NEW_PRIVS, S_IFDIR};
use crate::sys::{Act, Builder, Call, Errno, Handle, OnError, Program, Rule, Slot, lint};

/// Allows everything but one call, which it answers with EPERM.
#[cfg(feature = "linux")]
fn all_but(number: usize) -> Vec<u8> {
    let number = u32::try_from(number).expect("numbers of calls are small");
    let steps: [(u16, u8, u8, u32); 4] = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, number),
        (0x06, 0, 0, 0x0005_0001),
        (0x06, 0, 0, 0x7fff_0000),
    ];
    let encode = |(code, yes, no, k): (u16, u8, u8, u32)| {
        let [a, b] = code.to_le_bytes();
        let [c, d, e, f] = k.to_le_bytes();
        [a, b, yes, no, c, d, e, f]
    };
    steps.into_iter().flat_map(encode).collect()
}

fn execve(builder: &mut Builder) {
    let path = builder.text("/bin/true");
    let argv = builder.list(["true"]);
    let envp = builder.list([]);
    builder.call(Call::Execve { path, argv, envp });
}

fn rules(program: &Program) -> Vec<Rule> {
    lint(program).into_iter().map(|fault| fault.rule).collect()
}

fn open(builder: &mut Builder, flags: u64) -> Slot {
    let path = builder.text("/");
    builder.open(Call::Openat2 { dir: Handle::CWD, path, flags, mode: 0, resolve: 0 })
}

#[test]
fn a_sound_program_has_no_fault() {
    let mut builder = Builder::new(1);
    let slot = open(&mut builder, O_PATH | O_CLOEXEC);
    builder.call(Call::Fchdir { fd: Handle::slot(slot.0) });
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), []);
}

#[test]
fn an_open_descriptor_is_close_on_exec() {
    let mut builder = Builder::new(1);
    let slot = open(&mut builder, O_PATH);
    builder.close(slot);
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), [Rule::Descriptor]);
}

#[test]
fn a_copy_is_close_on_exec_unless_it_is_a_stream() {
    let mut builder = Builder::new(2);
    builder.call(Call::Dup3 { old: Handle::slot(0), new: Handle(1), flags: 0 });
    builder.call(Call::Dup3 { old: Handle::slot(0), new: Handle::slot(1), flags: 0 });
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), [Rule::Descriptor]);
}

#[test]
fn a_program_ends_in_its_last_operation() {
    let mut builder = Builder::new(1);
    builder.call(Call::Setsid {});
    assert_eq!(rules(&builder.finish()), [Rule::Ending]);
}

#[test]
fn a_tolerated_execve_does_not_end_a_program() {
    let mut builder = Builder::new(1);
    let path = builder.text("/bin/true");
    let argv = builder.list([]);
    builder.call_or(Call::Execve { path, argv, envp: argv }, &[Errno::ENOENT]);
    assert_eq!(rules(&builder.finish()), [Rule::Ending]);
}

#[test]
fn a_child_ends_where_its_parent_goes_on() {
    let mut builder = Builder::new(1);
    let pid = builder.take();
    let child = builder.fork(0, pid);
    builder.call(Call::Setsid {});
    builder.land(child);
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), [Rule::Ending]);
}

#[test]
fn a_child_may_go_on_where_its_parent_has_ended() {
    let mut builder = Builder::new(1);
    let pid = builder.take();
    let elder = builder.fork(0, pid);
    let younger = builder.jump();
    builder.land(elder);
    builder.push(Act::End, OnError::Fail, Slot::NONE);
    builder.land(younger);
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), []);
}

#[test]
fn a_jump_lands_inside() {
    let mut builder = Builder::new(1);
    let beyond = builder.jump();
    execve(&mut builder);
    builder.land(beyond);
    assert_eq!(rules(&builder.finish()), [Rule::Jump]);
}

#[test]
fn nothing_is_mounted_without_privilege() {
    for drop in
        [Call::Capset { effective: 0, permitted: 0, inheritable: 0 }, Call::Setresuid { uid: 1000 }]
    {
        let mut builder = Builder::new(1);
        builder.call(drop);
        let here = builder.text(".");
        builder.call(Call::Mount { source: here, target: here, kind: here, flags: 0, data: here });
        execve(&mut builder);
        assert_eq!(rules(&builder.finish()), [Rule::Order]);
    }
}

#[test]
fn nothing_is_made_without_privilege_nor_behind_a_filter() {
    let reach = |builder: &mut Builder| {
        let (dir, path) = (Handle::slot(0), builder.text("made"));
        let slot = builder.take();
        builder.push(Act::Reach { dir, path, mode: S_IFDIR, barred: 0 }, OnError::Fail, slot);
    };
    let copy = |builder: &mut Builder| {
        let act = Act::Copy { from: Handle::slot(0), to: Handle::slot(1) };
        builder.push(act, OnError::Fail, Slot::NONE);
    };
    let mut builder = Builder::new(1);
    copy(&mut builder);
    reach(&mut builder);
    copy(&mut builder);
    builder.call(Call::Setresuid { uid: 1000 });
    reach(&mut builder);
    copy(&mut builder);
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), [Rule::Slot, Rule::Order, Rule::Order]);
    #[cfg(feature = "linux")]
    {
        let mut builder = Builder::new(1);
        let filter = builder.block(&all_but(0));
        builder.call(Call::Seccomp { flags: 0, filter });
        reach(&mut builder);
        copy(&mut builder);
        execve(&mut builder);
        assert_eq!(rules(&builder.finish()), [Rule::Filter, Rule::Filter]);
    }
}

#[test]
fn root_of_a_user_namespace_keeps_its_privilege() {
    let mut builder = Builder::new(1);
    builder.call(Call::Setresuid { uid: 0 });
    builder.call(Call::Unshare { kinds: 0 });
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), []);
}

#[test]
fn a_filter_needs_privilege_or_no_new_privs() {
    for (option, faults) in [(0, vec![Rule::Order]), (PR_SET_NO_NEW_PRIVS, vec![])] {
        let mut builder = Builder::new(1);
        builder.call(Call::Prctl { option, a: 1, b: 0, c: 0, d: 0 });
        builder.call(Call::Capset { effective: 0, permitted: 0, inheritable: 0 });
        let filter = builder.block(&[6, 0, 0, 0, 0, 0, 0xff, 0x7f]);
        builder.call(Call::Seccomp { flags: 0, filter });
        execve(&mut builder);
        assert_eq!(rules(&builder.finish()), faults);
    }
}

#[test]
fn a_slot_is_filled_before_it_is_used() {
    let mut builder = Builder::new(1);
    builder.call(Call::Fchdir { fd: Handle::slot(1) });
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), [Rule::Slot]);
}

#[cfg(feature = "linux")]
#[test]
fn a_filter_allows_what_stands_behind_it() {
    use crate::sys::number;
    for (denied, faults) in [
        (number::EXECVE, vec![Rule::Filter]),
        (number::SETSID, vec![Rule::Filter]),
        (number::READ, vec![]),
    ] {
        let mut builder = Builder::new(1);
        let filter = builder.block(&all_but(denied));
        builder.call(Call::Seccomp { flags: 0, filter });
        builder.call(Call::Setsid {});
        execve(&mut builder);
        assert_eq!(rules(&builder.finish()), faults);
    }
}

#[cfg(feature = "linux")]
#[test]
fn a_tolerated_denial_is_no_fault() {
    let mut builder = Builder::new(1);
    let filter = builder.block(&all_but(crate::sys::number::SETSID));
    builder.call(Call::Seccomp { flags: 0, filter });
    builder.call_or(Call::Setsid {}, &[Errno::EPERM]);
    execve(&mut builder);
    assert_eq!(rules(&builder.finish()), []);
}
