from neuromoe.cli import main

main()
