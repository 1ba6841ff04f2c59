// Package rt holds the runtime routines of compiled policies: hand-written
// functions that read what takes more than a few loads (paths, addresses,
// strings), run the tables of compiler/match over it, and report events.
//
// Input: a hook of kernel/hook's table, and for classifiers their data.
// Output: object.Func subprograms, to be linked into the policy's object beside
// the generated code. They are static, named rt_…, and portable: one object
// serves Linux 6.1 and later, because kernel fields are relocated on load and
// no helper newer than 6.1 and no kernel function is called.
//
// Functions of equal name are equal; [Merge] joins lists that share some.
//
// # Calling convention
//
// The first argument of what codegen calls is the context of the LSM program.
// Registers R6 to R9 survive, as in every call. Scratch memory is that of the
// current task (abi.MapScratch; a slot of abi.MapPool where task storage may fail),
// so that a program that is preempted by another task's run keeps its buffers. Only
// hooks with paths use it.
//
// A chain of calls from a program down takes up to 160 bytes of the 512 of stack
// (five frames of 32, the least that kernels count), and six frames of the eight
// that there may be, the program's included.
//
// # What verifiers insist on
//
// The routines are written for the verifiers of 6.1 and later at once:
//
//   - 6.1 verifies the callback of bpf_loop for one call only, with what it knows
//     of memory at that time, and removes branches that this call cannot take. So
//     what a callback finds in its context must not be known: state lies in map
//     memory (walk.go), or starts from a value that nobody can guess (match.go).
//   - Code that nothing reaches is refused, and 6.1 loses bounds on OR and where a
//     sum that was checked as a whole has a part subtracted: compare last.
//   - Loads from the stack are aligned, also at variable offsets.
//   - Pointers that are loaded may have to be compared with NULL, even where the
//     kernel never has one.
//
// # Paths
//
// See path.go for what a path is and the two ways to it: the kernel's own
// d_path where a program may call it on every supported kernel, else a walk
// over dentries and mounts (walk.go), which tells how it stays sound against
// concurrent renames.
package rt
