//! The routines that the compiler calls by name; no C library brings them here.
//!
//! They are written in instructions, or the compiler would compile each into a call of itself.

use core::arch::asm;

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's two runs are valid and do not overlap.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: the runs do not overlap in the direction of the copy.
        return unsafe { memcpy(to, from, len) };
    }
    // SAFETY: the caller's runs are valid, and are copied from their ends, which are inside.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") len => _,
            inout("rdi") to.wrapping_add(len).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(len).wrapping_sub(1) => _, options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller's run is valid.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    let mut i = 0;
    while i < len {
        // SAFETY: `i` is inside of the caller's first run.
        let ours = unsafe { a.wrapping_add(i).read_volatile() };
        // SAFETY: `i` is inside of the caller's second run.
        let theirs = unsafe { b.wrapping_add(i).read_volatile() };
        if ours != theirs {
            return i32::from(ours) - i32::from(theirs);
        }
        i = i.wrapping_add(1);
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { memcmp(a, b, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0usize;
    // SAFETY: the caller's text ends in a null byte, and `len` has not passed it.
    while unsafe { text.wrapping_add(len).read_volatile() } != 0 {
        len = len.wrapping_add(1);
    }
    len
}
