//! Ids, streams and cgroups of those who are not root.

use super::*;
use std::cell::Cell;

use cofferdam::Stdio;
use cofferdam::backend::fake::{Caller, Payload};
use cofferdam::spec::{
    Cgroup, IdMap, Limit, Mount, MountKind, Namespace, NamespaceKind, Resources,
};
use cofferdam::sys::{CWD, Syscalls, flags};
use cofferdam::testing::lifecycle::smallest;

/// The smallest container, in a user namespace with these ids of users and groups.
fn mapped(uids: IdMap, gids: IdMap) -> Create {
    let mut create = smallest();
    create.spec.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    create.spec.namespaces.push(Namespace { kind: NamespaceKind::Mount, path: None });
    // No node can be made there, so the host's are taken.
    let dev = Mount::new(MountKind::Bind { recursive: true }, "/dev");
    create.spec.mounts = vec![Mount { source: Some("/dev".to_owned()), ..dev }];
    (create.spec.uid_maps, create.spec.gid_maps) = (vec![uids], vec![gids]);
    create
}

/// A machine on which a user may make containers.
fn rootless() -> World {
    let mut world = machine(Profile { caller: Caller::User(&[]), ..Profile::default() });
    for path in ["/bundle", "/bundle/rootfs"] {
        world.own(path, 1000);
    }
    world
}

const OWN: IdMap = IdMap { inside: 0, outside: 1000, count: 1 };
const MANY: IdMap = IdMap { inside: 0, outside: 100_000, count: 1000 };

/// The maps of the first process of a container, and whether it may set groups.
fn maps(stage: &Stage, create: &Create) -> [Vec<String>; 3] {
    let runtime = stage.runtime();
    let container = runtime.create(ID, create).expect("is created");
    let pid = container.state().expect("is told").pid.expect("is there");
    ["uid_map", "gid_map", "setgroups"].map(|file| {
        let text = stage.world.borrow().read_file(&format!("/proc/{pid}/{file}"));
        let text = String::from_utf8(text.expect("is there")).expect("is text");
        text.split_whitespace().map(str::to_owned).collect()
    })
}

#[test]
fn root_gives_a_container_any_ids() {
    let world = machine(Profile::default());
    let [uids, gids, setgroups] = maps(&Stage::of(world), &mapped(MANY, MANY));
    assert_eq!([uids.join(" "), gids.join(" ")], ["0 100000 1000"; 2]);
    assert_eq!(setgroups, ["allow"]);
}

/// Without CAP_SETGID, a gid map needs setgroups(2) given up first (user_namespaces(7)).
#[test]
fn a_user_gives_a_container_an_id_of_his_own() {
    let [uids, gids, setgroups] = maps(&Stage::of(rootless()), &mapped(OWN, OWN));
    assert_eq!([uids.join(" "), gids.join(" ")], ["0 1000 1"; 2]);
    assert_eq!(setgroups, ["deny"]);
}

#[test]
fn ids_of_others_are_asked_of_the_tools_that_may_grant_them() {
    let refused = |world: &World, path: &str| {
        let stage = Stage::of(world.clone());
        let runtime = stage.runtime();
        let before = stage.world.borrow().clone();
        let runtime = match path {
            "" => runtime,
            path => runtime.with_environment(vec![format!("PATH={path}")]),
        };
        let told = told(runtime.create(ID, &mapped(MANY, MANY)));
        stage.is_clean(&before);
        told
    };
    let denied =
        |file| format!("write \"0 100000 1000\\n\" to /proc/3/{file}: operation not permitted");
    let mut world = rootless();
    assert_eq!(refused(&world, ""), denied("uid_map"));
    world.payload("/usr/bin/newuidmap", Payload::exit(0));
    world.payload("/opt/newgidmap", Payload::exit(1));
    assert_eq!(refused(&world, ""), denied("gid_map"));
    assert_eq!(refused(&world, "/opt:relative"), denied("uid_map"));
    let failed = "newgidmap: exit status 1, stdout: , stderr: ";
    assert_eq!(refused(&world, "relative:/usr/bin:/opt"), failed);
    assert_eq!(refused(&world, "/a\0b:/usr/bin:/opt"), "newuidmap: holds a NUL byte");
}

#[test]
fn pipes_are_given_to_who_writes_to_them_and_devices_to_nobody() {
    let stage = Stage::new(Profile::default());
    stage.world.borrow_mut().write_file("/log", b"");
    let kernel = stage.kernel();
    let (dir, path, mode) = (CWD, c"/pipe", flags::S_IFIFO | 0o600);
    kernel.call(Call::Mknodat { dir, path, mode, device: 0 }).expect("is made");
    let pipe = kernel.open(CWD, path, flags::O_RDWR).expect("is there");
    let null = kernel.open(CWD, c"/dev/null", flags::O_RDWR).expect("is there");
    let log = kernel.open(CWD, c"/log", flags::O_RDWR).expect("is there");
    let mut create = usual();
    create.spec.process.as_mut().expect("has a process").user.uid = 7;
    create.stdio = [Stdio::Fd(null.raw()), Stdio::Fd(pipe.raw()), Stdio::Fd(log.raw())];
    let runtime = stage.runtime();
    let owners = || {
        let owner = |fd| kernel.stat(fd, c"", flags::AT_EMPTY_PATH).expect("is open").uid;
        [owner(null.raw()), owner(pipe.raw()), owner(log.raw())]
    };
    assert_eq!(owners(), [0, 0, 0]);
    run(&runtime, &create).force_delete().expect("is deleted");
    assert_eq!(owners(), [0, 7, 7]);
    // It is that user's already, or nobody's: standard streams that were closed.
    create.stdio = [Stdio::Fd(pipe.raw()), Stdio::Inherit, Stdio::Inherit];
    run(&runtime, &create).force_delete().expect("is deleted");
    assert_eq!(owners(), [0, 7, 7]);
}

/// Whether a call asks which user namespace the caller is in; it is told that of another.
fn is_nested(call: &Call<Live<'_>>) -> Option<Result<u64, Errno>> {
    let Call::Readlinkat { path, buf, .. } = call else { return None };
    path.to_bytes().ends_with(b"/ns/user").then(|| {
        let link = b"user:[4026532000]";
        buf.iter().zip(link).for_each(|(room, byte)| room.set(*byte));
        Ok(link.len() as u64)
    })
}

/// What comes of a container whose cgroup cannot be made.
fn without_cgroup(stage: &Stage, nested: bool, cgroup: Cgroup) -> String {
    let answer = |call: &Call<Live<'_>>| match call {
        Call::Mkdirat { path, .. } if path.to_bytes().starts_with(b"/sys/fs/cgroup") => {
            Some(Err(Errno::EACCES))
        }
        call if nested => is_nested(call),
        _ => None,
    };
    let kernel = Odd { kernel: stage.kernel(), answer };
    let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
    let mut create = if nested { smallest() } else { mapped(OWN, OWN) };
    create.spec.cgroup = cgroup;
    let made = runtime.create(ID, &create);
    made.map_or_else(
        |error| error.to_string(),
        |container| {
            assert!(container.state().expect("is told").pid.is_some());
            container.force_delete().expect("is deleted");
            "done".to_owned()
        },
    )
}

#[test]
fn who_may_not_make_cgroups_does_without_unless_they_are_asked_for() {
    let anywhere = Cgroup::default();
    let somewhere = Cgroup { path: Some("/a".to_owned()), ..Cgroup::default() };
    let pids = Some(Limit::Value(7));
    let limited =
        Cgroup { resources: Resources { pids, ..Resources::default() }, ..Cgroup::default() };
    let refused = "make cgroup /sys/fs/cgroup/a: permission denied";
    for (user, nested) in [(0, false), (0, true), (1000, false)] {
        let stage = Stage::of(match user {
            0 => machine(Profile::default()),
            _ => rootless(),
        });
        let before = stage.world.borrow().clone();
        let root = user == 0 && !nested;
        let expected = if root { refused } else { "done" };
        assert_eq!(without_cgroup(&stage, nested, anywhere.clone()), expected, "{user}, {nested}");
        for asked in [&somewhere, &limited] {
            assert_eq!(without_cgroup(&stage, nested, asked.clone()), refused);
        }
        stage.is_clean(&before);
    }
}

/// Who lacks the right to say who may use devices makes none either.
#[test]
fn device_rules_are_for_those_who_may_set_them() {
    for (user, nested) in [(0, false), (0, true), (1000, false)] {
        let (mut world, create) = match user {
            0 => (machine(Profile::default()), smallest()),
            _ => (rootless(), mapped(OWN, OWN)),
        };
        world.own("/sys/fs/cgroup", user);
        let stage = Stage::of(world);
        let asked = Cell::new(false);
        let answer = |call: &Call<Live<'_>>| match call {
            Call::BpfLoad { .. } => {
                asked.set(true);
                Some(Err(Errno::EPERM))
            }
            call if nested => is_nested(call),
            _ => None,
        };
        let kernel = Odd { kernel: stage.kernel(), answer };
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let made = runtime.create(ID, &create).map(|made| made.id().to_owned());
        if user == 0 && !nested {
            let expected =
                "set the device rules of cgroup /sys/fs/cgroup/a: operation not permitted";
            assert_eq!(told(made), expected);
        } else {
            assert_eq!(made.expect("is created"), ID);
        }
        // Another user namespace than the first has no say at all.
        assert_eq!(asked.get(), !nested);
    }
}

#[test]
fn ids_that_the_kernel_refuses_are_told_with_the_map() {
    let tools = |mut world: World| {
        world.payload("/usr/bin/newuidmap", Payload::exit(0));
        world
    };
    // The tools are for users, and for what users may not do.
    for (world, errno, why) in [
        (machine(Profile::default()), Errno::EPERM, "operation not permitted"),
        (rootless(), Errno::EINVAL, "invalid argument"),
    ] {
        let stage = Stage::of(tools(world));
        let before = stage.world.borrow().clone();
        let answer = |call: &Call<Live<'_>>| match call {
            Call::Write { bytes: b"0 100000 1000\n", .. } => Some(Err(errno)),
            _ => None,
        };
        let kernel = Odd { kernel: stage.kernel(), answer };
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let expected = format!("write \"0 100000 1000\\n\" to /proc/3/uid_map: {why}");
        assert_eq!(told(runtime.create(ID, &mapped(MANY, MANY))), expected);
        stage.is_clean(&before);
    }
}

#[test]
fn a_stream_that_is_not_open_is_no_stream() {
    let stage = Stage::new(Profile::default());
    let before = stage.world.borrow().clone();
    let mut create = usual();
    create.spec.process.as_mut().expect("has a process").user.uid = 7;
    create.stdio = [Stdio::Fd(77), Stdio::Inherit, Stdio::Inherit];
    let expected = "make the container's first process: bad file descriptor";
    assert_eq!(told(stage.runtime().create(ID, &create)), expected);
    stage.is_clean(&before);
}
