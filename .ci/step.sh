# A step of a stage: what it ran, and its seconds. Sourced.
step() {
    local begin=$SECONDS
    "$@"
    printf '.. %s: %d s\n' "$*" $((SECONDS - begin))
}
