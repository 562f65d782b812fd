"""The rules of the control plane played against traffic, in virtual time. Pure: nothing but the rules and stdlib."""
