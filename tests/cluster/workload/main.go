// Package main is what the cluster's own pods run: `pause`, which holds a
// pod's namespaces, and `hold`, a workload that takes huge pages and keeps
// them. Static, so that its image is this one file.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "hold" {
		hold(os.Args[2:])
	}
	pause()
}

// hold maps pages of a hugetlbfs, touches each from the kernel's side, so that
// a limit ends in an error and not in SIGBUS, and sleeps. -keep leaves the file
// where it is when the process goes: a leak, made to order.
func hold(arguments []string) {
	flags := flag.NewFlagSet("hold", flag.ExitOnError)
	directory := flags.String("dir", "/hugepages", "a hugetlbfs")
	pages := flags.Int64("pages", 1, "how many pages")
	keep := flags.Bool("keep", false, "leave the file behind")
	seconds := flags.Int("seconds", 0, "end after so long; 0: stay")
	_ = flags.Parse(arguments)

	var file syscall.Statfs_t
	check("statfs", syscall.Statfs(*directory, &file))
	name := filepath.Join(*directory, fmt.Sprintf("held-%d", os.Getpid()))
	descriptor, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	check("open "+name, err)
	if !*keep {
		check("unlink", syscall.Unlink(name))
	}
	length := *pages * file.Bsize
	check("ftruncate", syscall.Ftruncate(descriptor, length))
	memory, err := syscall.Mmap(descriptor, 0, int(length), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check("mmap", err)
	const madvPopulateWrite = 23
	check("populate", syscall.Madvise(memory, madvPopulateWrite))
	fmt.Printf("holds %d pages of %d bytes\n", *pages, file.Bsize)
	if *seconds > 0 {
		time.Sleep(time.Duration(*seconds) * time.Second)
		os.Exit(0)
	}
}

// pause sleeps until it is told to go, and reaps what a shared PID namespace
// leaves to its first process.
func pause() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			if child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); child <= 0 || err != nil {
				break
			}
		}
	}
}

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}
