// Package namespace manages policy namespaces in the kernel: it sets up the
// core, loads policies into slots, creates, enters, lists and frees namespaces.
//
// Input: policy objects (runtime/loader). Output: enforcement that goes on
// without this process. There is no daemon behind it: everything is pinned in a
// bpffs folder, and what is pinned is the whole truth. Processes that change it
// at the same time are serialised by a lock file.
//
//	<PinDir>/v1/maps/NAME            the core's maps
//	<PinDir>/v1/progs/NAME           its task programs
//	<PinDir>/v1/links/NAME           inheritance over fork and exec
//	<PinDir>/v1/hooks/HOOK/slots     prog array: the policies' programs for HOOK
//	<PinDir>/v1/hooks/HOOK/link      its dispatcher, while a namespace needs it
//	<PinDir>/v1/policies/SLOT_ID_DIGEST/HOOK   the programs of a policy
//
// Folders whose names begin with tmp_ are unfinished, and removed by the next
// process that takes the lock.
//
// The caller needs CAP_SYS_ADMIN in the initial user namespace and must itself be
// in no policy namespace.
package namespace
