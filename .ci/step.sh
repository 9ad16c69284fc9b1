# Defines a step of a CI stage, which prints the command and its seconds. Other scripts source this file.
step() {
    local begin=$SECONDS
    "$@"
    printf '.. %s: %d s\n' "$*" $((SECONDS - begin))
}
