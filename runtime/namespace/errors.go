package namespace

import "errors"

// Errors of this package; test with errors.Is.
var (
	// ErrInside means that the calling process is in a policy namespace, or would
	// enter one: it could be denied what it needs, in the middle of a change.
	ErrInside = errors.New("the manager itself is in a policy namespace")
	// ErrIncompatible means that what is pinned was made by another version.
	ErrIncompatible = errors.New("the pinned maps are not those of this version")
	// ErrNoCore means that nothing is set up.
	ErrNoCore = errors.New("no policy namespaces are set up")
	// ErrNotBPFFS means that PinDir is on no bpf filesystem.
	ErrNotBPFFS = errors.New("not on a bpf filesystem (mount -t bpf bpf /sys/fs/bpf)")
	// ErrGone means that a namespace or policy no longer exists.
	ErrGone = errors.New("no longer exists")
	// ErrMembers means that tasks are in the namespace, or armed for it.
	ErrMembers = errors.New("the namespace has members")
	// ErrChildren means that the namespace is the parent of another one.
	ErrChildren = errors.New("the namespace has children")
	// ErrTooDeep means more than abi.MaxLayers policies or generations.
	ErrTooDeep = errors.New("too many policies in one namespace")
	// ErrNoSlot means that abi.MaxSlots-1 policies are loaded.
	ErrNoSlot = errors.New("no free policy slot")
	// ErrNoSpace means that abi.MaxSpaces-1 namespaces exist.
	ErrNoSpace = errors.New("no free namespace entry")
	// ErrNoPolicy means a namespace without a policy of its own.
	ErrNoPolicy = errors.New("a namespace needs at least one policy")
	// ErrNotDescendant means that a task is in, or armed for, a namespace that is
	// not above the one that it should enter: nothing leads out of a namespace.
	ErrNotDescendant = errors.New("the task is in a namespace that is not an ancestor")
	// ErrNoTask means that the task does not exist, or ended meanwhile.
	ErrNoTask = errors.New("no such task")
	// ErrUnstable means that a process went on making threads while it entered, or
	// that a task could not be read.
	ErrUnstable = errors.New("the tasks could not be settled")
	// ErrArmed means that the calling thread could not be disarmed. It stays locked
	// to its goroutine; what it executes next enters the namespace.
	ErrArmed = errors.New("the calling thread is still armed")
	// ErrBroken means that the pinned state contradicts itself.
	ErrBroken = errors.New("the pinned state is inconsistent")
)
