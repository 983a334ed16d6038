//! What is looked up in the image and the bundle before anything is made.

use super::*;
use cofferdam::run::Filter;
use cofferdam::spec::{Action, FilterFlags, Mount, MountKind, Propagation, Seccomp, Sharing};
use cofferdam::sys::{CWD, Syscalls, flags};

const PASSWD: &str = "/bundle/rootfs/etc/passwd";

/// The home that a program is told, with what the image says of users.
fn home(passwd: &str, uid: u32) -> String {
    let stage = Stage::new(Profile::default());
    stage.world.borrow_mut().write_file(PASSWD, passwd.as_bytes());
    let mut create = usual();
    let process = create.spec.process.as_mut().expect("has a process");
    process.user.uid = uid;
    process.env = vec!["HOME=".to_owned()];
    let program = program(&stage.runtime(), &create);
    let (_, rest) = program.rsplit_once("HOME=").expect("is told a home");
    rest.split('"').next().expect("has an end").to_owned()
}

#[test]
fn a_home_is_found_wherever_its_line_stands() {
    let line = |uid: u32| format!("user{uid}:x:{uid}:{uid}:User:/home/{uid}:/bin/sh\n");
    // Several times what is read at once, and its end without a newline.
    let long: String = (1..2000).map(line).collect();
    let long = long.trim_end();
    for uid in [1, 700, 1500, 1999] {
        assert_eq!(home(long, uid), format!("/home/{uid}"));
    }
    assert_eq!(home(long, 5000), "/");
    assert_eq!(home("a:x:7:7::relative:/bin/sh\nb:x:8:8\n", 7), "relative");
    assert_eq!(home("a:x:7:7::relative:/bin/sh\nb:x:8:8\n", 8), "/");
    assert_eq!(home("", 0), "/");
}

#[test]
fn a_root_is_found_beside_its_description() {
    let stage = Stage::new(Profile::default());
    let mut create = usual();
    create.spec.rootfs.path = "rootfs".to_owned();
    let runtime = stage.runtime();
    let state = run(&runtime, &create).state().expect("is told");
    assert_eq!(
        (state.rootfs.as_str(), state.status.to_string().as_str()),
        ("/bundle/rootfs", "running")
    );
}

#[test]
fn a_filter_is_not_dropped_in_silence() {
    let stage = Stage::new(Profile::default());
    let (runtime, mut create) = (stage.runtime(), usual());
    create.spec.seccomp = Some(Seccomp {
        default_action: Action::Allow,
        architectures: Vec::new(),
        flags: FilterFlags::default(),
        rules: Vec::new(),
    });
    let before = stage.world.borrow().clone();
    let refused = "/linux/seccomp: the filter was not compiled";
    assert_eq!(told(runtime.create(ID, &create)), refused);
    assert_eq!(told(runtime.run(ID, &create)), refused);
    stage.is_clean(&before);
    // `return SECCOMP_RET_ALLOW`
    create.filter = Some(Filter { code: vec![6, 0, 0, 0, 0, 0, 0xff, 0x7f], flags: 0 });
    assert!(program(&runtime, &create).contains("# install the system call filter"));
}

#[test]
fn mounts_spread_to_the_mount_that_holds_the_root_and_no_further() {
    let mut world = machine(Profile::default());
    // Its name begins as that of the root does.
    world.mkdir("/bundle/root");
    let stage = Stage::of(world);
    let mut create = usual();
    create.spec.rootfs.propagation =
        Some(Propagation { sharing: Sharing::Shared, recursive: true });
    let private = |place: &str| format!(r#"mount("", "{place}", "", PRIVATE, "")"#);
    let kernel = stage.kernel();
    let holds = |place: &std::ffi::CStr, expected: &str| {
        let bind = Call::Mount {
            source: place,
            target: place,
            kind: c"",
            flags: flags::MS_BIND,
            data: c"",
        };
        kernel.call(bind).expect("is bound");
        let program = program(&stage.runtime(), &create);
        assert!(program.contains(&private(expected)), "{program}");
    };
    holds(c"/bundle/root", "/");
    holds(c"/bundle", "/bundle");
    holds(c"/bundle/rootfs", "/bundle/rootfs");
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_covers() {
    let stage = Stage::new(Profile::default());
    let chmod = Call::Fchmodat { dir: CWD, path: c"/bundle/rootfs/tmp", mode: 0o1777 };
    stage.kernel().call(chmod).expect("is there");
    let tmpfs = |target: &str, data: &str| Mount {
        data: data.to_owned(),
        ..Mount::new(MountKind::Filesystem("tmpfs".to_owned()), target)
    };
    let filled = Mount { tmpcopyup: true, ..tmpfs("/tmp", "size=1k") };
    let with = |mounts: Vec<Mount>| {
        let mut create = usual();
        create.spec.mounts = mounts;
        program(&stage.runtime(), &create)
    };
    let data = |mounts: Vec<Mount>| -> Vec<String> {
        let program = with(mounts);
        let calls = program.lines().filter(|line| line.contains(r#"mount("tmpfs", "#));
        let data = calls.filter_map(|line| line.rsplit('"').nth(1));
        data.filter(|data| !data.starts_with("nr_blocks")).map(str::to_owned).collect()
    };
    assert_eq!(data(vec![tmpfs("/tmp", "")]), ["mode=1777"]);
    assert_eq!(data(vec![tmpfs("/tmp", "size=1k")]), ["size=1k,mode=1777"]);
    assert_eq!(data(vec![tmpfs("/tmp", "size=1k,mode=700")]), ["size=1k,mode=700"]);
    assert_eq!(data(vec![tmpfs("/none", "")]), [""]);
    assert_eq!(data(vec![filled]), ["size=1k"]);
    // What is covered there is not the image's.
    assert_eq!(data(vec![tmpfs("/etc", "mode=755"), tmpfs("/etc/tmp", "")]), ["mode=755", ""]);
}

#[test]
fn what_cannot_be_looked_at_is_told_with_its_path() {
    let stage = Stage::new(Profile::default());
    let mut create = usual();
    create.spec.mounts = vec![Mount::new(MountKind::Filesystem("tmpfs".to_owned()), "/tmp")];
    for (path, what) in [
        ("/tmp", "look at what /tmp covers: input/output error"),
        (PASSWD, "read /bundle/rootfs/etc/passwd: input/output error"),
    ] {
        let answer = |call: &Call<Live<'_>>| match call {
            Call::Openat2 { path: asked, .. } if asked.to_str() == Ok(path) => {
                Some(Err(Errno::EIO))
            }
            _ => None,
        };
        let before = stage.world.borrow().clone();
        let kernel = Odd { kernel: stage.kernel(), answer };
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        assert_eq!(told(runtime.create(ID, &create)), what);
        assert!(runtime.kernel().stat(CWD, c"/bundle", 0).is_ok());
        stage.is_clean(&before);
    }
}
