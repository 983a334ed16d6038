//! A child that says to its maker what it should not is not believed.
//!
//! The program of the child is replaced by one that speaks out of turn; `fuzz` makes up many more.

use std::cell::RefCell;

use cofferdam::backend::fake::{Payload, Pid, Profile, World};
use cofferdam::spec::{Namespace, NamespaceKind};
use cofferdam::sys::{
    Act, Builder, Call, Child, Errno, Handle, Kernel, Live, OnError, Program, Slot, flags,
};
use cofferdam::testing::lifecycle::{ID, ROOT, machine, smallest};
use cofferdam::testing::oracles;
use cofferdam::{Create, Error, Runtime};

/// A kernel whose children perform another program than they are made with.
struct Liar<'p, K> {
    kernel: K,
    program: &'p Program,
}

impl<K: Kernel> Kernel for Liar<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        match call {
            Call::Spawn { child, pidfd } => {
                let child = Child { code: self.program.code(), ..child };
                self.kernel.call(Call::Spawn { child, pidfd })
            }
            call => self.kernel.call(call),
        }
    }
}

/// A program that says some words to its maker, and ends.
fn saying(words: &[&[u8]]) -> Program {
    let mut builder = Builder::new(1);
    for word in words {
        let bytes = builder.block(word);
        builder.call(Call::Send { socket: Handle::slot(0), bytes });
    }
    builder.push(Act::End, OnError::Fail, Slot::NONE);
    builder.finish()
}

/// A program that sends a descriptor that nobody has asked for.
fn giving() -> Program {
    let mut builder = Builder::new(1);
    let (dir, path) = (Handle::CWD, builder.text("/"));
    let flags = flags::O_PATH | flags::O_CLOEXEC;
    let slot = builder.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
    let (socket, bytes) = (Handle::slot(0), builder.block(b"/dev/ptmx"));
    builder.call(Call::SendFd { socket, bytes, fd: Handle::slot(slot.0) });
    let bytes = builder.block(b"R");
    builder.call(Call::Send { socket, bytes });
    builder.push(Act::End, OnError::Fail, Slot::NONE);
    builder.finish()
}

/// What a container is made of whose init is not the first child.
fn forked() -> Create {
    let mut create = smallest();
    create.spec.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    create
}

/// Makes a container of a child that lies, on a machine with a stranger; returns what is told, once
/// it is found that nothing is left and that the stranger has felt nothing.
fn made(create: &Create, program: impl FnOnce(Pid) -> Program) -> Result<(), Error> {
    let mut world = machine(Profile::default());
    let stranger = world.stranger(Payload::sleep());
    let before = world.clone();
    let client = world.client();
    let world = RefCell::new(world);
    let told = {
        let program = program(stranger);
        let kernel = Liar { kernel: World::process(&world, client), program: &program };
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        runtime.create(ID, create).map(drop)
    };
    world.borrow_mut().end_client(client);
    World::settle(&world);
    let world = world.into_inner();
    oracles::authority(&world).expect("a stranger is not signalled");
    let end = oracles::progress(&world, ROOT, ID).expect("it can be removed");
    oracles::authority(&end).expect("nor later");
    oracles::residue(&end, &before, ROOT).expect("nothing is left");
    told
}

#[test]
fn a_stranger_is_not_adopted() {
    let told = made(&forked(), |stranger| saying(&[&stranger.to_le_bytes(), b"R"]));
    assert_eq!(told.map_err(|error| error.errno()), Err(Some(Errno::ECHILD)));
    let told = made(&forked(), |_| saying(&[&1_u32.to_le_bytes(), b"R"]));
    assert_eq!(told.map_err(|error| error.errno()), Err(Some(Errno::ECHILD)));
}

#[test]
fn who_goes_on_is_asked_only_of_a_child_that_forks() {
    let told = made(&smallest(), |stranger| saying(&[&stranger.to_le_bytes(), b"R"]));
    assert_eq!(told.map_err(|error| error.errno()), Err(Some(Errno::EPROTO)));
}

/// The child itself is the caller's, and can be taken for who goes on, but only once.
#[test]
fn who_goes_on_is_said_once() {
    let twice = |stranger: Pid| {
        let itself = (stranger + 2).to_le_bytes();
        saying(&[&itself, &itself, b"R"])
    };
    let told = made(&forked(), twice).expect_err("is not believed");
    assert_eq!(told.errno(), Some(Errno::EPROTO), "{told}");
    assert!(told.to_string().starts_with("hear from the child in order"), "{told}");
}

#[test]
fn a_terminal_is_taken_only_where_one_was_asked_for() {
    let told = made(&smallest(), |_| giving());
    assert_eq!(told.map_err(|error| error.errno()), Err(Some(Errno::EPROTO)));
}

#[test]
fn what_is_no_word_is_refused() {
    for word in [&b"RR"[..], b"X", &[0; 64], &[0; 100]] {
        let told = made(&smallest(), |_| saying(&[word]));
        assert_eq!(told.map_err(|error| error.errno()), Err(Some(Errno::EPROTO)), "{word:?}");
    }
}
