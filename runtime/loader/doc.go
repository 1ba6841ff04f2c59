// Package loader brings a policy object into the kernel: it checks that the
// kernel has the hooks that the policy's rules need, fills in what is known only
// here, and loads all programs or none.
//
// Input: the bytes of an object (compiler/object). Output: a program for each LSM
// hook, not attached; runtime/namespace puts them into slots. Errors speak of the
// policy's rules and lines, not of instructions.
package loader
