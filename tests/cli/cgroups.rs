//! What a container's cgroups hold it to, read where the kernel says that it is.

use std::fs;

use serde_json::{Value, json};

use super::common::cgroups_named;
use super::{Cli, await_death};

/// The file of the cgroup that a process is in, of the one version or the other.
struct File {
    path: String,
    version: u8,
}

impl File {
    /// Finds it by the controller that has it on v1, or at cgroup v2 if that controller is there.
    fn of(pid: &str, controller: &str, [legacy, unified]: [&str; 2]) -> Self {
        let places = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let place = |line: &str| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, path) = (fields.next()?, fields.next()?.trim_end_matches('/'));
            let (file, version) = match names {
                "" => (format!("{path}/{unified}"), 2),
                _ if names.split(',').any(|name| name == controller) => {
                    (format!("/{controller}{path}/{legacy}"), 1)
                }
                _ => return None,
            };
            Some(Self { path: format!("/sys/fs/cgroup{file}"), version })
        };
        // Where there are both versions the unified one comes last, and has no such controller.
        places.lines().find_map(place).unwrap()
    }

    fn read(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// A container that sleeps, with resources, and its first process.
fn running(id: &str, resources: Value) -> (Cli, String) {
    let cli = Cli::edited("exec sleep 100", |config| {
        config["linux"]["resources"] = resources;
    });
    cli.done(&format!("run -d --pid-file pid {id}"));
    let pid = cli.read("pid");
    (cli, pid)
}

#[test]
fn limits_are_what_the_kernel_keeps() {
    let (_cli, pid) = running(
        "cli-limits",
        json!({
            "memory": { "limit": 64 << 20, "reservation": 32 << 20 },
            "cpu": { "shares": 512, "quota": 20_000, "period": 100_000, "cpus": "0", "mems": "0" },
            "pids": { "limit": 17 },
        }),
    );
    let kept = |controller, files, [legacy, unified]: [&str; 2]| {
        let file = File::of(&pid, controller, files);
        let expected = if file.version == 1 { legacy } else { unified };
        assert_eq!(file.read(), format!("{expected}\n"), "{}", file.path);
    };
    kept("memory", ["memory.limit_in_bytes", "memory.max"], ["67108864"; 2]);
    kept("memory", ["memory.soft_limit_in_bytes", "memory.low"], ["33554432"; 2]);
    kept("cpu", ["cpu.shares", "cpu.weight"], ["512", "59"]);
    kept("cpu", ["cpu.cfs_quota_us", "cpu.max"], ["20000", "20000 100000"]);
    kept("cpuset", ["cpuset.cpus"; 2], ["0"; 2]);
    kept("cpuset", ["cpuset.mems"; 2], ["0"; 2]);
    kept("pids", ["pids.max"; 2], ["17"; 2]);
}

#[test]
fn a_cgroup_that_others_use_or_that_is_frozen_is_refused() {
    let shared = |id: &str| {
        Cli::edited("exec sleep 100", |config| {
            config["linux"]["cgroupsPath"] = json!(format!("/{id}"));
        })
    };
    let cli = shared("cli-shared");
    cli.done("run -d one");
    let said = cli.say("create two");
    assert!(said.err.contains("container's cgroup is not empty: "), "{}", said.err);
    cli.done("delete --force one");
    assert_eq!(cgroups_named("cli-shared"), [""; 0]);
    let cli = shared("cli-cold");
    let frozen = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"].map(|dir| format!("{dir}/cli-cold"));
    let version = usize::from(fs::metadata("/sys/fs/cgroup/freezer").is_err());
    let dir = &frozen[version];
    fs::create_dir(dir).unwrap();
    let (file, word) = [("freezer.state", "FROZEN"), ("cgroup.freeze", "1")][version];
    fs::write(format!("{dir}/{file}"), word).unwrap();
    let said = cli.say("create three");
    assert!(said.err.contains("container's cgroup unexpectedly frozen: "), "{}", said.err);
    assert_eq!(cli.done("list -q"), "");
    fs::remove_dir(dir).unwrap();
    assert_eq!(cgroups_named("cli-cold"), [""; 0], "none of the others is left");
}

#[test]
fn files_of_cgroup_v2_are_written_by_their_names() {
    if fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_err() {
        return eprintln!("this host has no unified cgroups: nothing to test");
    }
    let unified = json!({ "memory.high": "50331648", "pids.max": "9", "io.weight": "default 50" });
    let (_cli, pid) = running("cli-unified", json!({ "unified": unified }));
    let read = |file| File::of(&pid, "", [file; 2]).read();
    assert_eq!(read("memory.high"), "50331648\n");
    assert_eq!(read("pids.max"), "9\n");
    assert_eq!(read("io.weight"), "default 50\n");
}

#[test]
fn a_process_too_many_is_not_born() {
    let script = "for i in 1 2 3 4 5; do sleep 100 & done; echo not reached";
    let cli = Cli::edited(script, |config| {
        config["linux"]["resources"]["pids"] = json!({ "limit": 3 });
    });
    let said = cli.say("run cli-forks");
    assert!(said.err.contains("can't fork"), "{said:?}");
    assert_eq!((said.status == 0, &*said.out), (false, ""));
}

#[test]
fn memory_beyond_the_limit_is_death() {
    let cli = Cli::edited("exec dd if=/dev/zero of=/dev/null bs=256M count=1", |config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20, "swap": 32 << 20 });
    });
    assert_eq!(cli.say("run cli-memory").status, 128 + 9);
}

#[test]
fn a_device_is_used_as_far_as_its_rule_goes() {
    let script = "mknod /dev/k c 1 11 && head -c 0 </dev/k && (echo x >/dev/k) 2>&1; \
                  echo y >/dev/null && echo done";
    let cli = Cli::edited(script, |config| {
        config["linux"]["resources"]["devices"] = json!([
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" },
        ]);
        for set in ["bounding", "effective", "permitted"] {
            let names = config["process"]["capabilities"][set].as_array_mut().unwrap();
            names.extend([json!("CAP_MKNOD"), json!("CAP_SYSLOG")]);
        }
    });
    let said = cli.say("run cli-devices");
    let refused = "sh: can't create /dev/k: Operation not permitted\ndone\n";
    assert_eq!((said.status, &*said.out, &*said.err), (0, refused, ""));
}

#[test]
fn who_joins_is_where_the_first_process_is() {
    let (cli, pid) = running("cli-joined", json!({ "pids": { "limit": 17 } }));
    cli.done("exec -d --pid-file joined cli-joined sleep 100");
    let place = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let homes = place(&pid).lines().filter(|line| line.ends_with("/cli-joined")).count();
    assert!(homes > 0, "{}", place(&pid));
    assert_eq!(place(&cli.read("joined")), place(&pid));
}

#[test]
fn what_is_frozen_stands_still_until_the_thaw() {
    let (cli, pid) = running("cli-frozen", json!({}));
    let file = File::of(&pid, "freezer", ["freezer.state", "cgroup.events"]);
    let frozen = |file: &File| file.read().lines().any(|l| l == "FROZEN" || l == "frozen 1");
    cli.done("pause cli-frozen");
    assert_eq!((&cli.state("cli-frozen")["status"], frozen(&file)), (&json!("paused"), true));
    cli.done("resume cli-frozen");
    assert_eq!((&cli.state("cli-frozen")["status"], frozen(&file)), (&json!("running"), false));
}

#[test]
fn everybody_is_killed_and_nothing_is_left() {
    let cli = Cli::edited("sleep 100 & echo $! >/tmp/other; exec sleep 100", |config| {
        // Without a pid namespace nobody else ends them.
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        config["root"]["readonly"] = json!(false);
    });
    cli.done("run -d --pid-file pid cli-everybody");
    while cli.done("ps -f json cli-everybody").split(',').count() < 2 {}
    cli.done("kill cli-everybody 9");
    await_death(cli.read("pid").parse().unwrap());
    cli.done("kill --all cli-everybody 9");
    await_death(cli.read("rootfs/tmp/other").trim().parse().unwrap());
    cli.done("delete cli-everybody");
    assert_eq!(cgroups_named("cli-everybody"), [""; 0]);
}

/// A container that keeps house in its cgroup as systemd would.
#[test]
fn a_container_that_divides_its_cgroup_is_joined_and_removed() {
    if fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_err() {
        return eprintln!("this host has no unified cgroups: nothing to test");
    }
    let script = "cd /sys/fs/cgroup && mkdir inner && echo 1 >inner/cgroup.procs && \
                  echo +pids >cgroup.subtree_control && touch /tmp/divided && exec sleep 100";
    let cli = Cli::edited(script, |config| {
        config["root"]["readonly"] = json!(false);
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "cgroup" }));
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        mounts.push(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev"],
        }));
    });
    cli.done("run -d --pid-file pid cli-divided");
    while fs::metadata(cli.path("rootfs/tmp/divided")).is_err() {
        assert_eq!(cli.state("cli-divided")["status"], "running");
    }
    assert_eq!(cli.done("exec cli-divided cat /proc/self/cgroup"), "0::/inner\n");
    cli.done("pause cli-divided");
    cli.done("resume cli-divided");
    cli.done("delete --force cli-divided");
    assert_eq!(cgroups_named("cli-divided"), [""; 0]);
}
