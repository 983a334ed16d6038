//! The `linux.resources.blockIO` object.

use super::node::{Fault, Node, Notes};
use crate::spec::{BlockIo, DeviceWeight, Oddity, Reason, Throttle, ThrottleKind};

/// The least and the greatest weight.
const WEIGHTS: (u16, u16) = (10, 1000);

/// Reads what is asked for of block devices.
pub(super) fn block_io<'d>(
    notes: &mut Notes<'d>,
    node: &'d Node<'d>,
) -> Result<BlockIo, Fault<'d>> {
    let mut block_io = BlockIo::default();
    for (key, value) in node.fields()? {
        let kind = match key {
            "weight" => {
                block_io.weight = weight(value)?;
                continue;
            }
            "leafWeight" => {
                block_io.leaf_weight = weight(value)?;
                continue;
            }
            "weightDevice" => {
                block_io.devices = value.list(|item| device(notes, item))?;
                continue;
            }
            "throttleReadBpsDevice" => ThrottleKind::ReadBytes,
            "throttleWriteBpsDevice" => ThrottleKind::WriteBytes,
            "throttleReadIOPSDevice" => ThrottleKind::ReadOperations,
            "throttleWriteIOPSDevice" => ThrottleKind::WriteOperations,
            _ => {
                notes.add(value, Oddity::Unknown);
                continue;
            }
        };
        block_io.throttles.extend(value.list(|item| throttle(notes, item, kind))?);
    }
    Ok(block_io)
}

/// A weight; 0 is no wish.
fn weight<'d>(node: &'d Node<'d>) -> Result<Option<u16>, Fault<'d>> {
    let (least, most) = WEIGHTS;
    match node.integer(0..=most) {
        Ok(0) => Ok(None),
        Ok(value) if least <= value => Ok(Some(value)),
        Ok(_) | Err(_) => Err(node.fault(Reason::Range { least: least.into(), most: most.into() })),
    }
}

fn device<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<DeviceWeight, Fault<'d>> {
    let (mut major, mut minor, mut own, mut leaf) = (None, None, None, None);
    for (key, value) in node.fields()? {
        match key {
            "major" => major = Some(value.integer(0..=u32::MAX)?),
            "minor" => minor = Some(value.integer(0..=u32::MAX)?),
            "weight" => own = weight(value)?,
            "leafWeight" => leaf = weight(value)?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(DeviceWeight {
        major: major.ok_or_else(|| node.lacks("major"))?,
        minor: minor.ok_or_else(|| node.lacks("minor"))?,
        weight: own,
        leaf_weight: leaf,
    })
}

fn throttle<'d>(
    notes: &mut Notes<'d>,
    node: &'d Node<'d>,
    kind: ThrottleKind,
) -> Result<Throttle, Fault<'d>> {
    let (mut major, mut minor, mut rate) = (None, None, None);
    for (key, value) in node.fields()? {
        match key {
            "major" => major = Some(value.integer(0..=u32::MAX)?),
            "minor" => minor = Some(value.integer(0..=u32::MAX)?),
            "rate" => rate = Some(value.integer(0..=u64::MAX)?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(Throttle {
        major: major.ok_or_else(|| node.lacks("major"))?,
        minor: minor.ok_or_else(|| node.lacks("minor"))?,
        kind,
        rate: rate.ok_or_else(|| node.lacks("rate"))?,
    })
}
