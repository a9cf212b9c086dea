// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Tokens as they are met: the plain one, and those that break what the standard promises. For tests only.
contract PlainToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 amount);

    constructor() {
        balanceOf[msg.sender] = 1e30;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external virtual returns (bool) {
        spend(from, amount);
        move(from, to, amount);
        return true;
    }

    function spend(address from, uint256 amount) internal {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
    }

    function move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        unchecked {
            balanceOf[to] += amount;
        }
        emit Transfer(from, to, amount);
    }
}

/// Keeps a hundredth of what is sent.
contract FeeToken is PlainToken {
    function transfer(address to, uint256 amount) external override returns (bool) {
        take(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        spend(from, amount);
        take(from, to, amount);
        return true;
    }

    function take(address from, address to, uint256 amount) private {
        move(from, to, amount - amount / 100);
        balanceOf[from] -= amount / 100;
    }
}

/// Takes a hundredth more from the sender than was sent.
contract FeeOnSenderToken is PlainToken {
    function transfer(address to, uint256 amount) external override returns (bool) {
        move(msg.sender, to, amount);
        balanceOf[msg.sender] -= amount / 100;
        return true;
    }
}

/// Gives the receiver more than was sent.
contract GenerousToken is PlainToken {
    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        spend(from, amount);
        move(from, to, amount);
        balanceOf[to] += 2 ** 96;
        return true;
    }
}

/// Pays, but says nothing: no return value.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address, uint256) external pure returns (bool) {
        return true;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// Pays, and returns false.
contract PessimistToken is PlainToken {
    function transfer(address to, uint256 amount) external override returns (bool) {
        move(msg.sender, to, amount);
        return false;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        spend(from, amount);
        move(from, to, amount);
        return false;
    }
}

/// Returns true and does nothing, once told to lie.
contract LyingToken is PlainToken {
    bool public lies;

    function lie(bool on) external {
        lies = on;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        if (!lies) move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        if (!lies) move(from, to, amount);
        return true;
    }
}

/// Refuses to move anything to or from listed accounts, as large stablecoins do.
contract BlacklistToken is PlainToken {
    mapping(address => bool) public listed;

    function list(address account, bool on) external {
        listed[account] = on;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        require(!listed[msg.sender] && !listed[to], "listed");
        move(msg.sender, to, amount);
        return true;
    }
}

/// Its balances can be changed by its issuer (rebasing).
contract RebasingToken is PlainToken {
    function rebase(address account, uint256 balance) external {
        balanceOf[account] = balance;
    }
}

/// Calls back into whatever it was told to while it moves.
contract HookedToken is PlainToken {
    address private target;
    bytes private data;
    bool public called;
    bool public succeeded;

    function hook(address to, bytes calldata what) external {
        target = to;
        data = what;
        called = false;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        run();
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        spend(from, amount);
        run();
        move(from, to, amount);
        return true;
    }

    function run() private {
        if (target == address(0)) return;
        called = true;
        (succeeded,) = target.call(data);
    }
}

/// A payee that is a contract: calls back when ether arrives, or refuses it.
contract HookedPayee {
    address private target;
    bytes private data;
    bool public refuses;
    bool public called;
    bool public succeeded;

    function hook(address to, bytes calldata what, bool refuse) external {
        target = to;
        data = what;
        refuses = refuse;
        called = false;
    }

    function run(address to, uint256 value, bytes calldata what) external payable returns (bytes memory) {
        (bool ok, bytes memory answer) = to.call{value: value}(what);
        require(ok, "failed");
        return answer;
    }

    receive() external payable {
        require(!refuses, "refused");
        if (target == address(0)) return;
        called = true;
        (succeeded,) = target.call(data);
    }
}
