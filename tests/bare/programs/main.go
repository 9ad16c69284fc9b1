// programs FILE...: prints the programs that these scripts and Rust tests start, a line each: the name or path, a tab, where.
//
// Shell is parsed, so that a command is told from a word. Of Rust it reads the first argument of what starts a program, and the
// shell scripts in strings. It reads the sources and nothing else: tests/needs is a list by hand, and this is what checks it.
package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

var (
	where     = map[string]string{} // by program, the first place
	order     []string
	functions = map[string]bool{}
	name      = regexp.MustCompile(`^(/usr/)?[A-Za-z][A-Za-z0-9_+./-]*$`)
	number    = regexp.MustCompile(`^[0-9.]+$`)
	// Programs and functions that start the command in their arguments, and how many words come before it.
	wrappers = map[string]int{
		"command": 0, "env": 0, "exec": 0, "nice": 0, "nsenter": 0, "prlimit": 0, "setpriv": 0, "setsid": 0, "stdbuf": 0,
		"taskset": 0, "timeout": 0, "unshare": 0, "xargs": 0, "inside": 0, "bound": 0, "launch": 1, "stage": 1, "step": 0, "within": 1,
	}
	// Options whose value is a word that could be a program.
	valued = map[string]bool{"--pdeathsig": true, "--propagation": true}
	starts = regexp.MustCompile(`(?s)(?:Command::new\(|\.command\(|program_or_missing\(|script\("inside"\)\s*\.args\(|daemon\([a-z_.]+,|` +
		`extend\(|once\(|holder\([a-z_.]+,)\s*&?\[?\s*"([^"\s]+)"`)
	paths  = regexp.MustCompile(`"(/usr/(?:s?bin|lib|libexec|share)/[^"\s{}]+)"`)
	quoted = regexp.MustCompile(`(?s)"((?:[^"\\]|\\.)*)"`)
	script = regexp.MustCompile(`\$[0-9@!{(A-Z]|&& |^exec |\| |>/`)
	spaces = regexp.MustCompile(`\\\n\s*`)
)

func found(program, place string) {
	if !name.MatchString(program) || strings.Contains(program, "/") && !strings.HasPrefix(program, "/usr/") {
		return // a script of this repository, or what was built
	}
	if _, known := where[program]; !known {
		where[program] = place
		order = append(order, program)
	}
}

// A word as far as it is the same in every run: "" otherwise.
func literal(word *syntax.Word) string {
	text := ""
	for _, part := range word.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			text += part.Value
		case *syntax.SglQuoted:
			text += part.Value
		case *syntax.DblQuoted:
			for _, inner := range part.Parts {
				lit, plain := inner.(*syntax.Lit)
				if !plain {
					return ""
				}
				text += lit.Value
			}
		default:
			return ""
		}
	}
	return text
}

func command(words []string, loops map[string][]string, place string) {
	if len(words) == 0 || words[0] == "" {
		return
	}
	first := words[0]
	found(first, place)
	skip, wraps := wrappers[first]
	for i, word := range words {
		if i > 0 && (first == "trap" && i == 1 || words[i-1] == "-c" && (first == "sh" || first == "bash")) {
			_ = shell([]byte(word), place)
		}
	}
	if !wraps {
		return
	}
	rest := words[1:]
	for i, word := range rest {
		if word == "--" {
			command(rest[i+1:], loops, place)
			return
		}
	}
	for i := 0; i < len(rest); i++ {
		option := i > 0 && strings.HasPrefix(rest[i-1], "-")
		if rest[i] == "" && !option {
			return // what a variable names
		}
		if rest[i] == "" || rest[i][0] == '-' || strings.Contains(rest[i], "=") || number.MatchString(rest[i]) ||
			option && valued[rest[i-1]] {
			continue
		}
		if skip == 0 {
			command(rest[i:], loops, place)
			return
		}
		skip--
	}
}

func shell(text []byte, place string) error {
	file, err := syntax.NewParser().Parse(strings.NewReader(string(text)), place)
	if err != nil {
		return err
	}
	loops := map[string][]string{} // what a variable of `for` goes through
	syntax.Walk(file, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.FuncDecl:
			functions[node.Name.Value] = true
		case *syntax.ForClause:
			if loop, ok := node.Loop.(*syntax.WordIter); ok {
				for _, item := range loop.Items {
					loops[loop.Name.Value] = append(loops[loop.Name.Value], literal(item))
				}
			}
		case *syntax.ArrayExpr:
			if len(node.Elems) > 0 && node.Elems[0].Value != nil {
				// An array that is run: what it begins with is a program if anything by that name is one.
				words := []string{}
				for _, element := range node.Elems {
					if element.Value != nil {
						words = append(words, literal(element.Value))
					}
				}
				if _, wraps := wrappers[words[0]]; wraps || len(words) > 1 && strings.HasPrefix(words[1], "-") {
					command(words, loops, at(place, node.Pos().Line()))
				}
			}
		case *syntax.CallExpr:
			words := []string{}
			for _, word := range node.Args {
				words = append(words, literal(word))
			}
			here := at(place, node.Pos().Line())
			command(words, loops, here)
			// command -v $tool
			if len(node.Args) == 3 && words[0] == "command" && len(node.Args[2].Parts) == 1 {
				if variable, ok := node.Args[2].Parts[0].(*syntax.ParamExp); ok {
					for _, program := range loops[variable.Param.Value] {
						found(program, here)
					}
				}
			}
		}
		return true
	})
	return nil
}

func at(place string, line uint) string {
	if strings.Contains(place, ":") {
		return place // a string of a Rust file
	}
	return fmt.Sprintf("%s:%d", place, line)
}

func rust(text, path string) {
	// Comments and raw strings, of which none is a script.
	text = regexp.MustCompile(`(?m)^[ \t]*//.*$`).ReplaceAllString(text, "")
	line := func(offset int) string { return fmt.Sprintf("%s:%d", path, 1+strings.Count(text[:offset], "\n")) }
	for _, pattern := range []*regexp.Regexp{starts, paths} {
		for _, match := range pattern.FindAllStringSubmatchIndex(text, -1) {
			found(text[match[2]:match[3]], line(match[2]))
		}
	}
	for _, match := range quoted.FindAllStringSubmatchIndex(text, -1) {
		value, err := strconv.Unquote(`"` + spaces.ReplaceAllString(text[match[2]:match[3]], "") + `"`)
		if err == nil && script.MatchString(value) {
			_ = shell([]byte(value), line(match[2])) // what is no shell is no script
		}
	}
}

func main() {
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err == nil && strings.HasSuffix(path, ".rs") {
			rust(string(text), path)
		} else if err == nil {
			err = shell(text, path)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for _, program := range order {
		if !functions[program] {
			fmt.Printf("%s\t%s\n", program, where[program])
		}
	}
}
