//! Whatever a child says to its maker, the maker ends, and what it has made can be removed.
//!
//! The program of a child is replaced by one that says other things than it should: it sends bytes
//! and descriptors, forks, tells numbers, ends, becomes a program. It waits for nobody, and does
//! not give away its end of the socket: one that is never heard of again is waited for without end.

use std::cell::{Cell, RefCell};

use arbitrary::Arbitrary;
use cofferdam::backend::fake::{Payload, Profile, World};
use cofferdam::spec::{Hook, Namespace, NamespaceKind, Spec};
use cofferdam::sys::{
    Act, Builder, Call, Child, Errno, ErrnoSet, Handle, Kernel, Live, OnError, Program, Slot, flags,
};
use cofferdam::testing::lifecycle::{ID, ROOT, fit, machine, smallest};
use cofferdam::testing::oracles;
use cofferdam::{Console, Create, Error, Exec, Runtime};

use crate::hurt::Hurt;
use crate::made::{Choice, Kernel as Named, whole};

/// The most that one program does.
const SAID_MAX: usize = 24;
/// The most children that one program has at once.
const FORKS_MAX: usize = 3;

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    kernel: Named,
    request: Choice,
    shape: Choice,
    /// Which child it is that lies, of those that are made.
    which: Choice,
    said: Vec<Said<'a>>,
}

/// What a child does instead of its program.
#[derive(Debug, Arbitrary)]
enum Said<'a> {
    Bytes(&'a [u8]),
    /// It sends a descriptor, with or without a word.
    Descriptor(bool),
    Ended(u16, u16),
    Failed(u16, u16),
    /// It makes a child of its own, or one of its maker's, which does so much of what follows.
    Fork {
        sibling: bool,
        ops: u8,
    },
    Hooks,
    Pid(u8),
    Program,
    Ready,
    /// It ends here.
    Rest,
    /// It tells the number of the child that it made last.
    Tell,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Forked,
    Hooked,
    Smallest,
    Terminal,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Create,
    Exec,
    Run,
}

/// A kernel on which one of the children performs another program.
struct Liar<'p, K> {
    kernel: K,
    program: &'p Program,
    /// How many children are made before it.
    left: Cell<u32>,
}

impl<K: Kernel> Kernel for Liar<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let Call::Spawn { child, pidfd } = call else { return self.kernel.call(call) };
        let left = self.left.get();
        self.left.set(left.wrapping_sub(1));
        if left != 0 {
            return self.kernel.call(call);
        }
        let child = Child { code: self.program.code(), ..child };
        self.kernel.call(Call::Spawn { child, pidfd })
    }
}

/// Performs a case.
pub fn sync(data: &[u8]) {
    let Some(case) = whole::<Case<'_>>(data) else { return };
    if let Err(what) = case.perform() {
        panic!("{what}");
    }
}

fn create(shape: Shape) -> Create {
    let mut create = smallest();
    if matches!(shape, Shape::Hooked) {
        create.spec = Spec::usual("/bundle/rootfs", ["/bin/sleep"]);
    }
    let spec = &mut create.spec;
    let path = "/bundle/rootfs/bin/true".to_owned();
    let hook =
        || Hook { args: vec![path.clone()], path: path.clone(), env: None, timeout_secs: Some(1) };
    match shape {
        Shape::Forked => spec.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None }),
        Shape::Hooked => {
            spec.hooks.create_runtime.push(hook());
            spec.hooks.create_container.push(hook());
            spec.hooks.poststart.push(hook());
        }
        Shape::Smallest => (),
        Shape::Terminal => {
            create.console = Console::Relay;
            if let Some(process) = &mut spec.process {
                process.terminal = true;
            }
        }
    }
    create
}

impl Case<'_> {
    fn perform(&self) -> Result<(), String> {
        let profile = self.kernel.profile();
        let shapes = [Shape::Smallest, Shape::Forked, Shape::Hooked, Shape::Terminal];
        let create = fit(create(self.shape.of(&shapes)), &profile);
        let plain = fit(smallest(), &profile);
        let request = self.request.of(&[Request::Create, Request::Run, Request::Exec]);
        let clean = stage(profile);
        let world = RefCell::new(clean.clone());
        if matches!(request, Request::Exec) {
            ask(&world, |kernel| Runtime::new(kernel, ROOT)?.run(ID, &plain).map(drop))
                .map_err(|error| error.to_string())?;
        }
        let program = self.program();
        let left = Cell::new(self.which.of(&[0, 0, 1, 2]));
        // Whatever comes of it is right, if it is an end.
        drop(ask(&world, |kernel| {
            let liar = Liar { kernel, program: &program, left };
            told(&liar, request, &create)
        }));
        let world = world.into_inner();
        if let Some(first) = world.violations().first() {
            return Err(format!("violation: {first}"));
        }
        oracles::authority(&world)?;
        let end = oracles::progress(&world, ROOT, ID)?;
        oracles::authority(&end)?;
        oracles::residue(&end, &clean, ROOT)
    }

    /// The program; its sync socket is in slot 0, and whatever else it was given closes with it.
    fn program(&self) -> Program {
        let mut b = Builder::new(1);
        let made = b.take();
        let mut forks = Vec::new();
        for (at, said) in self.said.iter().take(SAID_MAX).enumerate() {
            while let Some(fork) = forks.pop_if(|(end, _)| *end <= at) {
                b.land(fork.1);
            }
            match said {
                Said::Fork { .. } if forks.len() == FORKS_MAX => (),
                Said::Fork { sibling, ops } => {
                    let flags = if *sibling { flags::CLONE_PARENT } else { 0 };
                    let end = at + 1 + usize::from(*ops);
                    forks.push((end, b.fork(flags, made)));
                    forks.sort_by_key(|(end, _)| core::cmp::Reverse(*end));
                }
                said => said.write(&mut b, made),
            }
        }
        for (_, fork) in forks {
            b.land(fork);
        }
        b.push(Act::End, OnError::Fail, Slot::NONE);
        b.finish()
    }
}

impl Said<'_> {
    fn write(&self, b: &mut Builder, made: Slot) {
        let socket = Handle::slot(0);
        let bytes = match self {
            Said::Bytes(bytes) => bytes.to_vec(),
            Said::Descriptor(word) => {
                let (dir, path) = (Handle::CWD, b.text("/"));
                let flags = flags::O_PATH | flags::O_CLOEXEC;
                let fd = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
                let bytes = b.block(if *word { b"R" } else { b"/dev/ptmx" });
                b.call_or(Call::SendFd { socket, bytes, fd: Handle::slot(fd.0) }, &GONE);
                b.close(fd);
                return;
            }
            Said::Ended(op, status) => report(b'E', *op, *status),
            Said::Failed(op, errno) => report(b'F', *op, *errno),
            Said::Hooks => b"H".to_vec(),
            Said::Pid(number) => u32::from(*number).to_le_bytes().to_vec(),
            Said::Program => {
                let path = b.text("/bundle/rootfs/bin/true");
                let (argv, envp) = (b.list(["true"]), b.list([]));
                b.call(Call::Execve { path, argv, envp });
                return;
            }
            Said::Ready => b"R".to_vec(),
            Said::Fork { .. } | Said::Rest => {
                b.push(Act::End, OnError::Fail, Slot::NONE);
                return;
            }
            Said::Tell => {
                let accept = OnError::Accept(ErrnoSet::of(&GONE));
                b.push(Act::Tell { fd: socket, slot: made }, accept, Slot::NONE);
                return;
            }
        };
        let bytes = b.block(&bytes[..bytes.len().min(128)]);
        b.call_or(Call::Send { socket, bytes }, &GONE);
    }
}

/// A maker that has gone, or is told nothing.
const GONE: [Errno; 3] = [Errno::EPIPE, Errno::ECONNRESET, Errno::EINVAL];

fn report(word: u8, op: u16, number: u16) -> Vec<u8> {
    [&[word, 0][..], &op.to_le_bytes(), &number.to_le_bytes()].concat()
}

/// A machine with somebody outside, whose number a child may tell.
fn stage(profile: Profile) -> World {
    let mut world = machine(profile);
    world.stranger(Payload::sleep());
    world
}

/// Runs a client to its end, and everybody else to rest.
fn ask(
    world: &RefCell<World>,
    request: impl FnOnce(&dyn Kernel) -> Result<(), Error>,
) -> Result<(), Error> {
    let pid = world.borrow_mut().client();
    let kernel = Hurt::new(world, pid, &[], None);
    let told = kernel.run(|kernel| request(kernel));
    world.borrow_mut().end_client(pid);
    World::settle(world);
    told.expect("nobody is killed")
}

fn told(kernel: &dyn Kernel, request: Request, create: &Create) -> Result<(), Error> {
    let runtime = Runtime::new(kernel, ROOT)?;
    match request {
        Request::Create => runtime.create(ID, create).map(drop),
        Request::Exec => {
            let process = create.spec.process.clone().unwrap_or_default();
            let console = create.console;
            runtime.container(ID)?.exec(&Exec { process, console, ..Exec::default() }).map(drop)
        }
        Request::Run => runtime.run(ID, create).map(drop),
    }
}
