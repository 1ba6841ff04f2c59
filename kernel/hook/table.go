package hook

// Values of the kernel's user API that guards need.
const (
	accessRead  = 1 // ComputedAccess
	accessWrite = 2

	typeMask    = 0o170000 // S_IFMT
	typeRegular = 0o100000 // S_IFREG

	renameExchange = 2 // RENAME_EXCHANGE

	esrch = 3 // ESRCH; kernel/signal.c, kill_pid_info, takes it for a process that changes its thread group leader

	fmodeBacking = 1 << 25 // FMODE_BACKING, include/linux/fs.h, 6.5+: a file below overlayfs, already judged as the upper one
)

func arg(i int) Base { return Base{Arg: i} }

var current = Base{Current: true}

func step(structName string, members ...string) Step { return Step{structName, members} }

func ptr(name, structName string) Arg { return Arg{Name: name, Struct: structName} }

func num(name string, size uint8, signed bool) Arg {
	return Arg{Name: name, Size: size, Signed: signed}
}

// u32 reads an unsigned 32-bit integer at the end of a chain.
func u32(b Base, steps ...Step) Scalar { return Scalar{Base: b, Steps: steps, Size: 4} }

// Subject lists the fields that every hook has, read from the current task.
func Subject() []Field {
	cred := step("task_struct", "cred")
	id := func(name, member string) Field {
		return Field{Name: name, Cost: CostTask, Read: u32(current, cred, step("cred", member, "val"))}
	}
	tgid := u32(current, step("task_struct", "tgid"))
	return []Field{
		id("uid", "uid"), id("euid", "euid"), id("gid", "gid"), id("egid", "egid"),
		{Name: "pid", Cost: CostTask, Read: tgid},
		{Name: "tgid", Cost: CostTask, Read: tgid},
		{Name: "tid", Cost: CostTask, Read: u32(current, step("task_struct", "pid"))},
		{Name: "ppid", Cost: CostTask, Read: u32(current, step("task_struct", "real_parent"), step("task_struct", "tgid"))},
		{Name: "comm", Cost: CostBuffer, Read: Comm{Base: current}},
		{Name: "caps", Cost: CostTask, Read: Scalar{Base: current, Steps: []Step{cred, step("cred", "cap_effective")}, Size: 8}},
	}
}

// inodeSteps lead to a member of the inode of the struct file that toFile leads to.
func inodeSteps(toFile []Step, members ...string) []Step {
	return append(toFile[:len(toFile):len(toFile)], step("file", "f_inode"), step("inode", members...))
}

func inodeOwner(b Base, toFile ...Step) Field {
	return Field{Name: "owner", Cost: CostArg, Read: Scalar{Base: b, Steps: inodeSteps(toFile, "i_uid", "val"), Size: 4}}
}

func inodeMode(b Base, toFile ...Step) Field {
	return Field{Name: "mode", Cost: CostArg, Read: Scalar{Base: b, Steps: inodeSteps(toFile, "i_mode"), Size: 2, Mask: 0o7777}}
}

// target are the fields of a task argument.
func target(i int) []Field {
	return []Field{
		{Name: "target.uid", Cost: CostArg, Read: u32(arg(i), step("task_struct", "real_cred"), step("cred", "uid", "val"))},
		{Name: "target.pid", Cost: CostArg, Read: u32(arg(i), step("task_struct", "tgid"))},
		{Name: "target.comm", Cost: CostBuffer, Read: Comm{Base: arg(i)}},
	}
}

func entry(name string, dir, dentry int) Field {
	return Field{Name: name, Cost: CostPath, Read: EntryPath{Dir: dir, Dentry: dentry}}
}

func modeArg(i int, mask int64) Field {
	return Field{Name: "mode", Cost: CostArg, Read: Scalar{Base: arg(i), Size: 2, Mask: mask}}
}

// sockFields read from the struct socket argument 0.
func sockFields() []Field {
	sk := step("socket", "sk")
	return []Field{
		{Name: "family", Cost: CostArg, Read: Scalar{Base: arg(0), Steps: []Step{sk, step("sock", "__sk_common", "skc_family")}, Size: 2}},
		{Name: "type", Cost: CostArg, Read: Scalar{Base: arg(0), Steps: []Step{step("socket", "type")}, Size: 2}},
		{Name: "protocol", Cost: CostArg, Read: Scalar{Base: arg(0), Steps: []Step{sk, step("sock", "sk_protocol")}, Size: 2}},
	}
}

func always(op string) []Instance { return []Instance{{Op: op}} }

// Hooks is the table, in the order of the hook numbers. Numbers are
// append-only: they index abi.Space.HookLayers of namespaces that outlive the
// program that made them.
func Hooks() []*Hook {
	pathArg := ptr("path", "path")
	dirArgs := []Arg{ptr("dir", "path"), ptr("dentry", "dentry")}
	sockaddrArgs := []Arg{ptr("sock", "socket"), ptr("address", "sockaddr"), num("addrlen", 4, true)}
	addrPort := []Field{
		{Name: "addr", Cost: CostBuffer, Read: Computed{ComputedAddr}},
		{Name: "port", Cost: CostBuffer, Read: Computed{ComputedPort}},
	}
	bprmFile := step("linux_binprm", "file")
	hooks := []*Hook{
		{Name: "bprm_check_security", Args: []Arg{ptr("bprm", "linux_binprm")}, Instances: always("exec"),
			Fields: []Field{
				{Name: "path", Cost: CostPath, Read: FilePath{Base: arg(0), Steps: []Step{bprmFile}}},
				{Name: "setid", Cost: CostArg, Read: Computed{ComputedSetid}},
				{Name: "memfd", Cost: CostArg, Read: Computed{ComputedExecAnon}},
				inodeOwner(arg(0), bprmFile), inodeMode(arg(0), bprmFile),
			}, EventArgs: []string{"mode", "owner"},
			Doc: "execve(2), once for the program and once for each interpreter that a #! line names (fs/exec.c, search_binary_handler)"},
		{Name: "file_open", Args: []Arg{ptr("file", "file")},
			Skip: []Guard{{Field: "f_mode", Mask: fmodeBacking, Values: []int64{fmodeBacking}}},
			Instances: []Instance{{Op: "file.open"},
				{Op: "file.read", Guards: []Guard{{Field: "access", Mask: accessRead, Values: []int64{accessRead}}}},
				{Op: "file.write", Guards: []Guard{{Field: "access", Mask: accessWrite, Values: []int64{accessWrite}}}}},
			Fields: []Field{
				{Name: "path", Cost: CostPath, Read: FilePath{Base: arg(0)}},
				{Name: "access", Cost: CostArg, Read: Computed{ComputedAccess}},
				{Name: "flags", Cost: CostArg, Read: u32(arg(0), step("file", "f_flags"))},
				{Name: "f_mode", Cost: CostArg, Read: u32(arg(0), step("file", "f_mode")), Internal: true},
				{Name: "append", Cost: CostArg, Read: Scalar{Base: arg(0), Steps: []Step{step("file", "f_flags")}, Size: 4, Shift: 10, Mask: 1}},
				{Name: "dev", Cost: CostArg, Read: Computed{ComputedDev}},
				{Name: "ino", Cost: CostArg, Read: Scalar{Base: arg(0), Steps: []Step{step("file", "f_inode"), step("inode", "i_ino")}, Size: 8}},
				{Name: "deleted", Cost: CostArg, Read: Computed{ComputedDeleted}},
				{Name: "memfd", Cost: CostArg, Read: Computed{ComputedMemfd}},
				inodeOwner(arg(0)),
				{Name: "group", Cost: CostArg, Read: Scalar{Base: arg(0), Steps: inodeSteps(nil, "i_gid", "val"), Size: 4}},
				inodeMode(arg(0)),
			}, EventArgs: []string{"access", "flags"},
			Doc: "every open but O_PATH (fs/open.c, do_dentry_open)"},
		{Name: "path_mknod", Args: append(dirArgs[:2:2], num("mode", 2, false), num("dev", 4, false)),
			Instances: []Instance{
				{Op: "file.create", Guards: []Guard{{Field: "type", Values: []int64{0, typeRegular}}}},
				{Op: "file.mknod", Guards: []Guard{{Field: "type", Values: []int64{0, typeRegular}, Not: true}}}},
			Fields: []Field{entry("path", 0, 1), modeArg(2, 0o177777),
				{Name: "type", Cost: CostArg, Read: Scalar{Base: arg(2), Size: 2, Mask: typeMask}, Internal: true}},
			EventArgs: []string{"mode"}, Doc: "creat(2), open(2) with O_CREAT of a new file, mknod(2), bind(2) of a unix socket"},
		{Name: "path_mkdir", Args: append(dirArgs[:2:2], num("mode", 2, false)), Instances: always("file.mkdir"),
			Fields: []Field{entry("path", 0, 1), modeArg(2, 0o7777)}, EventArgs: []string{"mode"}, Doc: "mkdir(2)"},
		{Name: "path_symlink", Args: append(dirArgs[:2:2], ptr("old_name", "char")), Instances: always("file.symlink"),
			Fields: []Field{entry("path", 0, 1), {Name: "target", Cost: CostPath, Read: ArgString{Arg: 2}}}, Doc: "symlink(2)"},
		{Name: "path_unlink", Args: dirArgs, Instances: always("file.unlink"), Fields: []Field{entry("path", 0, 1)}, Doc: "unlink(2)"},
		{Name: "path_rmdir", Args: dirArgs, Instances: always("file.rmdir"), Fields: []Field{entry("path", 0, 1)}, Doc: "rmdir(2)"},
		{Name: "path_rename", Args: []Arg{ptr("old_dir", "path"), ptr("old_dentry", "dentry"), ptr("new_dir", "path"), ptr("new_dentry", "dentry"), num("flags", 4, false)},
			Instances: []Instance{{Op: "file.rename"},
				{Op: "file.rename", Swap: true, Guards: []Guard{{Field: "rename_flags", Mask: renameExchange, Values: []int64{renameExchange}}}}},
			Fields: []Field{entry("path", 0, 1), entry("to", 2, 3),
				{Name: "rename_flags", Cost: CostArg, Read: Scalar{Base: arg(4), Size: 4}, Internal: true}},
			EventArgs: []string{"rename_flags"}, Doc: "rename(2), renameat2(2); the hook has the flags since 5.19"},
		{Name: "path_link", Args: []Arg{ptr("old_dentry", "dentry"), ptr("new_dir", "path"), ptr("new_dentry", "dentry")}, Instances: always("file.link"),
			Fields: []Field{{Name: "path", Cost: CostPath, Read: LinkPath{Dir: 1, Dentry: 0}}, entry("to", 1, 2)},
			Doc:    "link(2), linkat(2); both names are on one mount (fs/namei.c, do_linkat)"},
		{Name: "path_truncate", Args: []Arg{pathArg}, Instances: always("file.truncate"),
			Fields: []Field{{Name: "path", Cost: CostPath, Read: PathPath{Arg: 0}}}, Doc: "truncate(2); before 6.2 also ftruncate(2) and open(2) with O_TRUNC"},
		{Name: "file_truncate", Args: []Arg{ptr("file", "file")}, Instances: always("file.truncate"),
			Fields: []Field{{Name: "path", Cost: CostPath, Read: FilePath{Base: arg(0)}}},
			Absent: "before 6.2 the kernel calls path_truncate instead", Doc: "ftruncate(2), open(2) with O_TRUNC; 6.2+"},
		{Name: "path_chmod", Args: []Arg{pathArg, num("mode", 2, false)}, Instances: always("file.chmod"),
			Fields: []Field{{Name: "path", Cost: CostPath, Read: PathPath{Arg: 0}}, modeArg(1, 0o7777)}, EventArgs: []string{"mode"}, Doc: "chmod(2), fchmod(2)"},
		{Name: "path_chown", Args: []Arg{pathArg, num("uid", 4, false), num("gid", 4, false)}, Instances: always("file.chown"),
			Fields: []Field{{Name: "path", Cost: CostPath, Read: PathPath{Arg: 0}},
				{Name: "new.uid", Cost: CostArg, Read: Scalar{Base: arg(1), Size: 4}},
				{Name: "new.gid", Cost: CostArg, Read: Scalar{Base: arg(2), Size: 4}}},
			EventArgs: []string{"new.uid", "new.gid"}, Doc: "chown(2), fchown(2); an id that is left alone is 4294967295"},
		{Name: "socket_create", Args: []Arg{num("family", 4, true), num("type", 4, true), num("protocol", 4, true), num("kern", 4, true)},
			Skip:      []Guard{{Field: "kern", Values: []int64{0}, Not: true}},
			Instances: always("net.socket"),
			Fields: []Field{
				{Name: "family", Cost: CostArg, Read: Scalar{Base: arg(0), Size: 4, Signed: true}},
				{Name: "type", Cost: CostArg, Read: Scalar{Base: arg(1), Size: 4, Signed: true}},
				{Name: "protocol", Cost: CostArg, Read: Scalar{Base: arg(2), Size: 4, Signed: true}},
				{Name: "kern", Cost: CostArg, Read: Scalar{Base: arg(3), Size: 4, Signed: true}, Internal: true}},
			EventArgs: []string{"family", "type", "protocol"}, Doc: "socket(2), and each of socketpair(2); the type comes without SOCK_NONBLOCK and SOCK_CLOEXEC"},
		{Name: "socket_bind", Args: sockaddrArgs, Instances: always("net.bind"), Fields: append(sockFields(), addrPort...),
			EventArgs: []string{"family", "type", "port"}, Doc: "bind(2)"},
		{Name: "socket_connect", Args: sockaddrArgs, Instances: always("net.connect"), Fields: append(sockFields(), addrPort...),
			EventArgs: []string{"family", "type", "port"}, Doc: "connect(2)"},
		{Name: "socket_listen", Args: []Arg{ptr("sock", "socket"), num("backlog", 4, true)}, Instances: always("net.listen"),
			Fields: append(sockFields(),
				Field{Name: "addr", Cost: CostBuffer, Read: Computed{ComputedSockAddr}},
				Field{Name: "port", Cost: CostBuffer, Read: Computed{ComputedSockPort}}),
			EventArgs: []string{"family", "type", "port"}, Doc: "listen(2)"},
		{Name: "task_kill", Args: []Arg{ptr("p", "task_struct"), ptr("info", "kernel_siginfo"), num("sig", 4, true), ptr("cred", "cred")}, Instances: always("process.signal"),
			Retried:   esrch,
			Fields:    append([]Field{{Name: "signal", Cost: CostArg, Read: Scalar{Base: arg(2), Size: 4, Signed: true}}}, target(0)...),
			EventArgs: []string{"signal", "target.pid", "target.uid"}, Doc: "kill(2), tgkill(2), pidfd_send_signal(2) and the like, the caller's own process included; signal 0 asks whether it may"},
		{Name: "ptrace_access_check", Args: []Arg{ptr("child", "task_struct"), num("mode", 4, false)}, Instances: always("process.ptrace"),
			Fields:    append([]Field{{Name: "mode", Cost: CostArg, Read: Scalar{Base: arg(1), Size: 4, Mask: 3}}}, target(0)...),
			EventArgs: []string{"mode", "target.pid", "target.uid"}, Doc: "ptrace(2), /proc/PID of another process, process_vm_readv(2), pidfd_getfd(2), kcmp(2)"},
		{Name: "capable", Args: []Arg{ptr("cred", "cred"), ptr("ns", "user_namespace"), num("cap", 4, true), num("opts", 4, false)}, Instances: always("capability"),
			Fields:    []Field{{Name: "cap", Cost: CostArg, Read: Scalar{Base: arg(2), Size: 4, Signed: true}}},
			EventArgs: []string{"cap"}, Doc: "each use of a capability that the kernel asks about"},
	}
	for i, h := range hooks {
		h.Number = uint16(i)
	}
	return hooks
}
