//! A container's life by the library's methods.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::Command;

use cofferdam::spec::{Process, Spec};
use cofferdam::state::{ProcessId, Record};
use cofferdam::{Error, Exec, Exit, Status, Stdio};

use super::common::{Place, cgroups_named};
use super::{runtime, script};

#[test]
fn a_container_lives_and_dies() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("lives", &script(&place, "exit 3")).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.start().unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Code(3));
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    assert!(container.delete().unwrap().is_empty());
    assert!(container.state().unwrap_err().is_not_found());
    assert_eq!(cgroups_named("lives"), [""; 0]);
}

#[test]
fn a_short_payload_is_never_waited_for_in_vain() {
    let place = Place::new();
    let runtime = runtime(&place);
    for _ in 0..60 {
        let container = runtime.create("short", &script(&place, "true")).unwrap();
        container.start().unwrap();
        assert_eq!(container.wait().unwrap(), Exit::Code(0));
        container.delete().unwrap();
    }
}

#[test]
fn a_signal_changes_no_status() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("signalled", &script(&place, "sleep 100")).unwrap();
    container.kill(28).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.start().unwrap();
    container.pause().unwrap();
    container.kill(28).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Paused);
    container.resume().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Running);
    container.kill(9).unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
    container.delete().unwrap();
}

#[test]
fn a_frozen_container_can_be_killed() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("frozen", &script(&place, "sleep 100")).unwrap();
    container.start().unwrap();
    container.pause().unwrap();
    container.kill(9).unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
    container.delete().unwrap();
}

#[test]
fn output_goes_where_it_is_sent() {
    let place = Place::new();
    let runtime = runtime(&place);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut create = script(&place, "echo $0 $HOME; hostname");
    create.stdio[1] = Stdio::Fd(writer.as_raw_fd());
    let container = runtime.create("talks", &create).unwrap();
    drop(writer);
    container.start().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "sh /root\ncofferdam\n");
    assert_eq!(container.wait().unwrap(), Exit::Code(0));
    container.delete().unwrap();
}

#[test]
fn a_process_is_added_with_pipes() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("joined", &script(&place, "sleep 100")).unwrap();
    container.start().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (process, _) = container.process().unwrap();
    let args = ["sh", "-c", "read x; echo got $x; exit 7"].map(str::to_owned).to_vec();
    let process = Process { args, ..process.unwrap() };
    let (stdin, mut feed) = std::io::pipe().unwrap();
    let stdio = [Stdio::Fd(stdin.as_raw_fd()), Stdio::Fd(writer.as_raw_fd()), Stdio::Inherit];
    let process = container.exec(&Exec { process, stdio, ..Exec::default() }).unwrap();
    drop((writer, stdin));
    std::io::Write::write_all(&mut feed, b"this\n").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), process.wait().unwrap()), ("got this\n", Exit::Code(7)));
    assert_eq!(container.processes().unwrap().len(), 1);
    container.force_delete().unwrap();
}

#[test]
fn a_missing_program_is_found_out_when_the_container_is_created() {
    let place = Place::new();
    let runtime = runtime(&place);
    let mut create = script(&place, "");
    create.spec = Spec::usual(&place.rootfs(), ["nosuchprogram"]);
    let error = runtime.create("missing", &create).unwrap_err();
    let told = "exec: \"nosuchprogram\": executable file not found in $PATH";
    assert_eq!(error.to_string(), told);
    assert!(runtime.container("missing").unwrap().state().unwrap_err().is_not_found());
    assert_eq!(cgroups_named("missing"), [""; 0]);
}

#[test]
fn a_failed_create_leaves_the_name_free() {
    let place = Place::new();
    let runtime = runtime(&place);
    let good = script(&place, "true");
    let mut bad = good.clone();
    bad.spec.process.as_mut().unwrap().cwd = "/bin/busybox/no".to_owned();
    assert!(matches!(runtime.create("again", &bad), Err(Error::Failed(_))));
    let container = runtime.create("again", &good).unwrap();
    assert_eq!(
        runtime.create("again", &good).unwrap_err().to_string(),
        "container with given ID already exists"
    );
    container.delete().unwrap();
}

#[test]
fn a_stranger_with_the_number_of_init_is_never_signalled() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("stranger", &script(&place, "true")).unwrap();
    container.start().unwrap();
    container.wait().unwrap();
    let mut stranger = Command::new("sleep").arg("100").spawn().unwrap();
    let path = format!("{}/stranger/record.json", place.state());
    let lines = std::fs::read_to_string(&path).unwrap();
    let mut record: Record = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let init = record.init.unwrap();
    // Ticks are coarse: two lives of one number differ only once a tick has passed.
    record.init = Some(ProcessId { pid: stranger.id(), started: init.started - 1, ..init });
    std::fs::write(&path, serde_json::to_string(&record).unwrap()).unwrap();
    let state = container.state().unwrap();
    assert_eq!((state.status, state.pid), (Status::Stopped, None));
    assert_eq!(container.kill(9).unwrap_err().to_string(), "container not running");
    container.force_delete().unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn devices_that_were_not_granted_cannot_be_used() {
    let place = Place::new();
    let runtime = runtime(&place);
    let mut create = script(&place, "mknod /dev/m c 1 1 && ! cat /dev/m && echo x > /dev/null");
    let process = create.spec.process.as_mut().unwrap();
    let all = cofferdam::spec::Capability::all().collect();
    let capabilities = process.capabilities.as_mut().unwrap();
    (capabilities.bounding, capabilities.effective, capabilities.permitted) = (all, all, all);
    let container = runtime.create("devices", &create).unwrap();
    container.start().unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Code(0));
    container.delete().unwrap();
}

#[test]
fn another_user_opens_its_standard_output_again() {
    let place = Place::new();
    let runtime = runtime(&place);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut create = script(&place, "echo again > /proc/self/fd/1");
    let process = create.spec.process.as_mut().unwrap();
    (process.user.uid, process.user.gid) = (1000, 1000);
    create.stdio[1] = Stdio::Fd(writer.as_raw_fd());
    let container = runtime.run("another", &create).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), container.wait().unwrap()), ("again\n", Exit::Code(0)));
    container.delete().unwrap();
}

#[test]
fn a_masked_file_is_not_a_way_to_the_hosts_null() {
    use std::os::unix::fs::PermissionsExt;
    let mode = || std::fs::metadata("/dev/null").unwrap().permissions().mode();
    let before = mode();
    let place = Place::new();
    let runtime = runtime(&place);
    let container =
        runtime.run("masked", &script(&place, "! chmod 0664 /proc/keys && echo > /proc/keys"));
    let container = container.unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Code(0));
    container.delete().unwrap();
    assert_eq!(mode(), before);
}

#[test]
fn a_container_sees_no_cgroup_but_its_own() {
    let place = Place::new();
    let runtime = runtime(&place);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut create = script(&place, "cat /proc/self/mountinfo");
    create.stdio[1] = Stdio::Fd(writer.as_raw_fd());
    let container = runtime.run("seen", &create).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    container.wait().unwrap();
    container.delete().unwrap();
    let cgroups = text.lines().filter(|line| line.contains(" - cgroup "));
    let roots: Vec<_> = cgroups.map(|line| line.split(' ').nth(3).unwrap()).collect();
    assert!(roots.iter().all(|root| root.ends_with("/seen")), "{roots:?}");
}

#[test]
fn a_frozen_container_can_be_deleted_by_force() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.run("ice", &script(&place, "sleep 100")).unwrap();
    container.pause().unwrap();
    container.force_delete().unwrap();
    assert!(container.state().unwrap_err().is_not_found());
}

#[test]
fn a_created_container_that_is_asked_to_end_ends() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("asked", &script(&place, "sleep 100")).unwrap();
    container.kill(10).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    container.kill(15).unwrap();
    container.wait().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    container.delete().unwrap();
}

#[test]
fn a_record_of_another_make_is_not_thrown_away() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.create("foreign", &script(&place, "sleep 100")).unwrap();
    let path = format!("{}/foreign/record.json", place.state());
    let record = std::fs::read(&path).unwrap();
    std::fs::write(&path, "[]").unwrap();
    assert!(container.force_delete().unwrap_err().to_string().contains("record.json"));
    std::fs::write(&path, record).unwrap();
    container.force_delete().unwrap();
}
