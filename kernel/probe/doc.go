// Package probe finds out what the running kernel can do: for the loader, which
// must refuse before it loads, and for the doctor, which tells people what is
// missing and how to get it.
//
// Input: the kernel's BTF, files below /proc and /sys, and trial loads of tiny
// programs that are undone at once. Output: a Report of findings. The host is
// never changed.
package probe
