// Package core holds the programs that stand between the kernel and the
// policies: the dispatcher of each LSM hook, the inheritance of namespaces over
// fork and exec, and the task iterators by which the manager looks at and moves
// tasks.
//
// Input: the running kernel's BTF. Output: specifications of maps and programs,
// which runtime/namespace loads, attaches and pins. Nothing here touches the
// kernel; map references are by the names of kernel/abi.
package core
