package hook

// Member is a member of a kernel struct that programs read.
type Member struct {
	Name string
	// Type is "u8", "u16", "u32", "u64", "s32", "char[16]", "ptr:STRUCT" or "struct:STRUCT".
	Type string
}

// Struct is a kernel struct as far as programs need it. Offsets are not
// known here: they are relocated to the running kernel's (CO-RE).
type Struct struct {
	Name    string
	Members []Member
}

// Structs lists every kernel struct and member that a recipe or a runtime
// routine of the compiler names, sorted by name.
func Structs() []Struct {
	return []Struct{
		{"cred", []Member{{"uid", "struct:kuid_t"}, {"gid", "struct:kgid_t"}, {"euid", "struct:kuid_t"}, {"egid", "struct:kgid_t"}, {"cap_effective", "struct:kernel_cap_t"}}},
		{"dentry", []Member{{"d_flags", "u32"}, {"d_seq", "struct:seqcount_spinlock"}, {"d_hash", "struct:hlist_bl_node"}, {"d_parent", "ptr:dentry"}, {"d_name", "struct:qstr"}, {"d_inode", "ptr:inode"}}},
		{"file", []Member{{"f_path", "struct:path"}, {"f_inode", "ptr:inode"}, {"f_flags", "u32"}, {"f_mode", "u32"}}},
		{"fs_struct", []Member{{"seq", "struct:seqcount_spinlock"}, {"root", "struct:path"}}},
		{"hlist_bl_node", []Member{{"next", "ptr:hlist_bl_node"}, {"pprev", "ptr:void"}}},
		{"in6_addr", []Member{{"in6_u", "struct:in6_u"}}},
		{"inode", []Member{{"i_mode", "u16"}, {"i_uid", "struct:kuid_t"}, {"i_gid", "struct:kgid_t"}, {"i_sb", "ptr:super_block"}, {"i_ino", "u64"}, {"i_flags", "u32"}}},
		{"kernel_cap_t", nil}, // a typedef of a struct: 6.1 {cap: u32[2]}, 6.12 {val: u64}; read as 8 bytes at its start
		{"kgid_t", []Member{{"val", "u32"}}},
		{"kuid_t", []Member{{"val", "u32"}}},
		{"linux_binprm", []Member{{"file", "ptr:file"}}},
		{"mount", []Member{{"mnt_parent", "ptr:mount"}, {"mnt_mountpoint", "ptr:dentry"}, {"mnt", "struct:vfsmount"}, {"mnt_ns", "ptr:mnt_namespace"}}},
		{"nsproxy", []Member{{"mnt_ns", "ptr:mnt_namespace"}}},
		{"path", []Member{{"mnt", "ptr:vfsmount"}, {"dentry", "ptr:dentry"}}},
		{"qstr", []Member{{"len", "u32"}, {"name", "ptr:char"}}}, // len lies in an anonymous union and struct
		{"seqcount_spinlock", nil},                               // the sequence word is its first 4 bytes, as it is of a seqlock_t
		{"sock", []Member{{"__sk_common", "struct:sock_common"}, {"sk_protocol", "u16"}}},
		{"sock_common", []Member{{"skc_daddr", "u32"}, {"skc_rcv_saddr", "u32"}, {"skc_dport", "u16"}, {"skc_num", "u16"}, {"skc_family", "u16"}, {"skc_v6_daddr", "struct:in6_addr"}, {"skc_v6_rcv_saddr", "struct:in6_addr"}}},
		{"socket", []Member{{"type", "u16"}, {"sk", "ptr:sock"}}},
		{"super_block", []Member{{"s_dev", "u32"}}},
		{"task_struct", []Member{{"pid", "u32"}, {"tgid", "u32"}, {"real_parent", "ptr:task_struct"}, {"group_leader", "ptr:task_struct"}, {"real_cred", "ptr:cred"}, {"cred", "ptr:cred"}, {"comm", "char[16]"}, {"fs", "ptr:fs_struct"}, {"nsproxy", "ptr:nsproxy"}}},
		{"vfsmount", []Member{{"mnt_root", "ptr:dentry"}, {"mnt_sb", "ptr:super_block"}, {"mnt_flags", "s32"}}},
	}
}
