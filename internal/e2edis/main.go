package main

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
)

func main() {
	s, err := ebpf.LoadCollectionSpec(os.Args[1])
	if err != nil {
		panic(err)
	}
	p := s.Programs[os.Args[2]]
	off := 0
	for _, in := range p.Instructions {
		if in.Symbol() != "" {
			fmt.Println(in.Symbol() + ":")
		}
		fmt.Printf("%5d: %v\n", off, in)
		off += int(in.Size() / 8)
	}
}
