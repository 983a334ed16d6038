//! A world to play on: a machine with a bundle.

use cofferdam::backend::fake::{Payload, Profile, World};

/// Returns a machine with a bundle whose programs sleep, succeed and fail.
pub(crate) fn world(profile: Profile) -> World {
    let mut world = World::new(profile);
    for dir in ["dev", "etc", "proc", "sys", "tmp"] {
        world.mkdir(&format!("/bundle/rootfs/{dir}"));
    }
    world.payload("/bundle/rootfs/bin/sleep", Payload::sleep());
    world.payload("/bundle/rootfs/bin/true", Payload::exit(0));
    world.payload("/bundle/rootfs/bin/false", Payload::exit(1));
    world.write_file("/bundle/rootfs/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");
    world
}
