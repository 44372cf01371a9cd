//! A library to preload (`LD_PRELOAD`) that makes the `tercel` command meet a chosen fault at a chosen call.
//!
//! The environment variable `FAULT` says which; calls are counted from 1, for the whole process:
//!
//! | `FAULT` | what happens |
//! |---|---|
//! | `count:FILE` | nothing; a line for every counted call is appended to FILE, and the number of allocations (of 64 bytes and more, of 64 KiB and more) at exit |
//! | `kill:N` | SIGKILL before the N-th directory operation |
//! | `kill-write:N` | the N-th write is done by half, then SIGKILL |
//! | `stop:N` | before the N-th directory operation, and every later one, the process waits for a byte on standard input |
//! | `stop-read:N` | the same at reads and mappings of files |
//! | `fail:N` | the N-th directory operation fails with EIO, once |
//! | `enospc:N` | the N-th write and all that needs room from then on fails with ENOSPC |
//! | `eio-read:N`, `eio-write:N` | the N-th read or write of a file and all later ones fail with EIO |
//! | `alloc:N:MIN`, `alloc:N:MIN:on` | the N-th allocation of at least MIN bytes fails, once or from then on |
//!
//! Directory operations are those that change what a folder holds or make it durable: rename, unlink, rmdir, mkdir, link,
//! symlink, fsync, ftruncate, and open where it creates or cuts a file. Reads and writes count on regular files of a disk
//! only: pipes, terminals and `/proc` are let through.
//!
//! A program that makes its system calls itself (the crate `rustix` does, for `renameat2`) is not seen here. Nothing is
//! lost by it: the state after such a call is the state before the next call that is counted.
//!
//! A process that waits writes what it is about to do, one line, to its standard input, which therefore is a socket; where
//! the other end is closed it goes on to its end.
//!
//! Only a process of the name `tercel` (or what `FAULT_PROCESS` says) is touched: shells and helpers around it are not.
//! Nothing here allocates: the wrappers run inside of allocators, and of programs that are about to die.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod directory;
mod fault;
mod line;
mod memory;
mod plan;
mod streams;
