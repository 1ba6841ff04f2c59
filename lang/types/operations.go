package types

func (b *schemaBuilder) fileOps() {
	p := path("path", "the file")
	newPath := path("path", "the new name")
	oldPath := path("path", "the old name")
	to := path("to", "the new name")
	goes := path("path", "the name that goes away")
	owner := id("owner", "user id of the file's owner")
	mode := integer("mode", "permission bits of the file, 0 to 0o7777", 0, 0o7777)
	fstype := text("fstype", "name of the filesystem type", MaxString).later()
	fileMemfd := boolean("memfd", "the file has no name in any directory: memfd, O_TMPFILE, pipe, anonymous inode")

	b.op("exec", "a program is executed; asked again for each interpreter that a #! line names",
		path("path", "the program, or the interpreter"),
		owner, mode,
		boolean("setid", "the program's set-user-ID or set-group-ID bit takes effect: set on the file and not switched off by the mount"),
		fileMemfd,
		boolean("script", "the program is run as an interpreter of a #! line").later(),
		fstype)

	open := []*Field{
		p,
		b.named(Flags, "access", "access", "what the open asks for; the kernel's own open of a program has exec and not read; O_TRUNC counts as write", 0, 15),
		b.named(Flags, "flags", "openflags", "flags of the open file", 0, maxID),
		owner,
		id("group", "group id of the file"),
		mode,
		integer("dev", "device number of the file's filesystem, as stat(2) encodes it", 0, maxID),
		integer("ino", "inode number", 0, 0),
		boolean("deleted", "the file's name was removed before the open"),
		fileMemfd,
		fstype,
	}
	b.op("file.open", "a file is opened, for anything; O_PATH opens nothing", open...)
	b.op("file.read", "a file is opened by the process itself with read access", open...)
	b.op("file.write", "a file is opened with write access or O_TRUNC",
		append(open[:len(open):len(open)], boolean("append", "the file is opened with O_APPEND, which the process can clear later"))...)

	created := integer("mode", "type and permission bits of the new file, the umask applied", 0, 0o177777)
	b.op("file.create", "a regular file is created", newPath, created)
	b.op("file.mkdir", "a directory is created", newPath,
		integer("mode", "permission bits of the new directory, the umask applied", 0, 0o7777))
	b.op("file.mknod", "a device, fifo or unix socket is created", newPath, created)
	target := path("target", "the text of the link as the process gave it: it may be relative and hold any spelling")
	target.Verbatim = true
	b.op("file.symlink", "a symbolic link is created", newPath, target)
	b.op("file.unlink", "a name other than a directory's is removed", goes)
	b.op("file.rmdir", "a directory is removed", goes)
	b.op("file.rename", "a name is moved; an exchange of two names is judged in both directions", oldPath, to)
	b.op("file.link", "a hard link is made: `to` is a further name of the file at `path`", oldPath, to)
	b.op("file.truncate", "a file is cut or extended to a length", p)
	b.op("file.chmod", "permission bits are changed, other than through an ACL", p, integer("mode", "the new permission bits", 0, 0o7777))
	b.op("file.chown", "owner or group are changed", p,
		id("new.uid", "the new owner; 4294967295: stays as it is"),
		id("new.gid", "the new group; 4294967295: stays as it is"))

	prot := &Field{Name: "prot", Kind: Flags, Enum: b.enum["prot"], Doc: "protection that is asked for"}
	wx := boolean("wx", "the memory would be writable and executable")
	anonymous := boolean("anonymous", "the mapping has no file")
	b.later("file.setxattr", "an extended attribute is set; the kernel tells no mount, so there is no path",
		text("name", "name of the attribute", MaxString))
	b.later("file.ioctl", "ioctl(2) on a file", integer("cmd", "the request", 0, maxID), p)
	b.later("file.lock", "a file lock is asked for", integer("type", "kind of lock", 0, 0), p)
	b.later("file.receive", "an open file arrives over a unix socket", p)
	b.later("file.map", "a file or anonymous memory is mapped", p, prot, anonymous, wx)
	b.later("file.protect", "the protection of a mapping is changed", p, prot, anonymous, wx)
}

func (b *schemaBuilder) netOps() {
	family := b.named(Int, "family", "family", "address family of the socket", 0, 0)
	typ := b.named(Int, "type", "socktype", "socket type, without SOCK_NONBLOCK and SOCK_CLOEXEC", 0, 0)
	protocol := b.named(Int, "protocol", "protocol", "protocol of the socket; 0 when the process leaves the choice to the kernel", 0, 0)
	sock := func(more ...*Field) []*Field { return append([]*Field{family, typ, protocol}, more...) }
	addr := func(doc string, fails bool) *Field {
		return &Field{Name: "addr", Kind: Addr, Doc: doc, Unresolvable: fails}
	}
	port := func(doc string, fails bool) *Field {
		f := integer("port", doc, 0, 65535)
		f.Unresolvable = fails
		return f
	}
	const other = "; none for families other than AF_INET and AF_INET6"
	const zero = "; 0 for families other than AF_INET and AF_INET6"
	remote := sock(addr("address of the peer"+other, true), port("port of the peer"+zero, true))

	b.op("net.socket", "a socket is created", sock()...)
	b.op("net.bind", "a socket is bound to a local address",
		sock(addr("the local address"+other, true), port("the local port"+zero, true))...)
	b.op("net.connect", "a socket is connected, or given a default peer", remote...)
	b.op("net.listen", "a socket starts to accept connections",
		sock(addr("the local address, 0.0.0.0 or :: when any"+other, false), port("the local port"+zero, false))...)
	b.later("net.socketpair", "a pair of connected sockets is created", sock()...)
	b.later("net.accept", "a connection is accepted", sock()...)
	b.later("net.send", "a message is sent", remote...)
	b.later("net.recv", "a message is received", sock()...)
	b.later("net.setsockopt", "a socket option is set",
		sock(integer("level", "level of the option", 0, 0), integer("option", "the option", 0, 0))...)

	unix := []*Field{path("path", "path of the peer's socket"), text("name", "abstract name of the peer's socket", MaxString),
		boolean("same-namespace", "the peer is in the caller's policy namespace")}
	b.later("unix.connect", "a unix stream socket is connected", unix...)
	b.later("unix.send", "a unix datagram is sent", unix...)
}

func (b *schemaBuilder) processOps() {
	target := []*Field{
		id("target.uid", "real user id of the process acted on"),
		text("target.comm", "name of the thread acted on", MaxComm),
		integer("target.pid", "process id of the process acted on, in the initial pid namespace", 0, maxPID),
		boolean("target.inside", "the process acted on is in the caller's policy namespace or below").later(),
	}
	signal := b.named(Int, "signal", "signal", "the signal; 0 asks only whether it may be sent", 0, 64)
	b.op("process.signal", "a signal is sent to a process by kill(2) or its kin, one's own included", append([]*Field{signal}, target...)...)
	b.op("process.ptrace", "another process's memory, files or state are inspected or taken over (ptrace(2), /proc/PID, process_vm_readv(2) …)",
		append([]*Field{b.named(Flags, "mode", "ptrace", "read or attach", 0, 3)}, target...)...)

	flags := &Field{Name: "flags", Kind: Flags, Doc: "flags of clone(2)"}
	newID := func(name string) *Field { return id(name, "the id asked for") }
	b.later("process.fork", "a process is created", flags)
	b.later("process.thread", "a thread is created", flags)
	b.later("process.traceme", "a process lets its parent trace it", target...)
	b.later("process.setuid", "user ids are changed", newID("new.uid"), newID("new.euid"))
	b.later("process.setgid", "group ids are changed", newID("new.gid"), newID("new.egid"))
	b.later("process.setgroups", "supplementary groups are changed")
	b.later("process.userns", "a user namespace is created")
	b.later("process.prctl", "prctl(2)", integer("option", "the option", 0, 0))
	b.later("process.rlimit", "a resource limit is changed", append([]*Field{integer("resource", "which limit", 0, 0), integer("limit", "the new soft limit", 0, 0)}, target...)...)
	b.later("process.priority", "a process's priority is changed", target...)
	b.later("process.affinity", "a process's scheduling is changed", target...)

	b.op("capability", "the kernel asks whether a capability may be used; callers choose the errno themselves",
		b.named(Int, "cap", "cap", "number of the capability", 0, 63))
}

// otherOps adds operations that this version refuses.
func (b *schemaBuilder) otherOps() {
	mount := []*Field{path("path", "the mount point"), text("source", "what is mounted", MaxString),
		text("fstype", "name of the filesystem type", MaxString), {Name: "flags", Kind: Flags, Doc: "mount flags"}}
	b.later("fs.mount", "a filesystem is mounted", mount...)
	b.later("fs.umount", "a filesystem is unmounted", mount[0])
	b.later("fs.remount", "options of a mount are changed", mount...)
	b.later("fs.move", "a mount is moved", mount[0], path("to", "the new mount point"))
	b.later("fs.pivot", "the root of a mount namespace is exchanged", mount[0])
	b.later("fs.chroot", "the root directory of a process is changed", mount[0])

	perm := []*Field{integer("perm", "permission asked for", 0, maxID), id("owner", "owner of the object")}
	b.later("key.use", "a kernel key is used", perm...)
	b.later("ipc.use", "a System V IPC object is used", perm...)
	b.later("ipc.msg", "a System V message queue is used", perm...)
	b.later("ipc.sem", "a System V semaphore set is used", perm...)
	b.later("ipc.shm", "a System V shared memory segment is used", perm...)

	cmd := integer("cmd", "the command", 0, 0)
	typ := integer("type", "what kind", 0, 0)
	b.later("kernel.bpf", "bpf(2)", cmd)
	b.later("kernel.module", "kernel code is loaded", typ)
	b.later("kernel.perf", "perf_event_open(2)", typ)
	b.later("kernel.syslog", "the kernel log is read or controlled", typ)
	b.later("kernel.settime", "the system clock is set")
	b.later("kernel.uring", "privileged uses of io_uring", cmd)
	b.later("kernel.lockdown", "something that lockdown restricts is asked for", typ)
	b.later("kernel.quota", "quotactl(2)", cmd)
	b.later("kernel.swap", "swap is switched on or off")
}
